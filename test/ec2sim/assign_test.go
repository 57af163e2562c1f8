package ec2sim_test

import (
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
)

var compareSlots = cmp.Options{
	cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}),
	cmpopts.EquateEmpty(),
}

type assignTest struct {
	kind   string // c5.large, 10 slots, where left out
	before func(t *testing.T, sim *ec2sim.Server)
	ask    ec2.AssignPrivateIpAddressesInput
	want   ec2sim.Slots
	code   string
}

// TestAssign asks for slots of the one instance in 10.0.0.0/24, whose primary
// address is 10.0.0.4, through the SDK.
func TestAssign(t *testing.T) {
	tests := map[string]assignTest{
		"addresses by number": {
			ask:  ec2.AssignPrivateIpAddressesInput{SecondaryPrivateIpAddressCount: aws.Int32(2)},
			want: ec2sim.Slots{Addresses: addrs("10.0.0.5", "10.0.0.6")},
		},
		"addresses by name": {
			ask:  ec2.AssignPrivateIpAddressesInput{PrivateIpAddresses: []string{"10.0.0.99", "10.0.0.7"}},
			want: ec2sim.Slots{Addresses: addrs("10.0.0.99", "10.0.0.7")},
		},
		"prefixes by number, never the first block of the subnet": {
			ask:  ec2.AssignPrivateIpAddressesInput{Ipv4PrefixCount: aws.Int32(2)},
			want: ec2sim.Slots{Prefixes: cidrs("10.0.0.16/28", "10.0.0.32/28")},
		},
		"prefixes by name": {
			ask:  ec2.AssignPrivateIpAddressesInput{Ipv4Prefixes: []string{"10.0.0.96/28"}},
			want: ec2sim.Slots{Prefixes: cidrs("10.0.0.96/28")},
		},
		"both kinds by number do not take each other's room": {
			before: occupy("10.0.0.5/32", "10.0.0.6/31", "10.0.0.8/29"),
			ask: ec2.AssignPrivateIpAddressesInput{
				Ipv4PrefixCount: aws.Int32(1), SecondaryPrivateIpAddressCount: aws.Int32(1),
			},
			want: ec2sim.Slots{Addresses: addrs("10.0.0.32"), Prefixes: cidrs("10.0.0.16/28")},
		},
		"a prefix by number keeps off an address by name": {
			ask: ec2.AssignPrivateIpAddressesInput{
				Ipv4PrefixCount: aws.Int32(1), PrivateIpAddresses: []string{"10.0.0.20"},
			},
			want: ec2sim.Slots{Addresses: addrs("10.0.0.20"), Prefixes: cidrs("10.0.0.32/28")},
		},
		"a prefix goes only where the whole block is free": {
			before: occupy("10.0.0.31/32", "10.0.0.32/32"),
			ask:    ec2.AssignPrivateIpAddressesInput{Ipv4PrefixCount: aws.Int32(1)},
			want:   ec2sim.Slots{Prefixes: cidrs("10.0.0.48/28")},
		},

		"the interface's last slot": {
			before: give(5, 3),
			ask:    ec2.AssignPrivateIpAddressesInput{SecondaryPrivateIpAddressCount: aws.Int32(1)},
			want:   ec2sim.Slots{Addresses: addrs("10.0.0.10")},
		},
		"one address more than the interface holds": {
			before: give(5, 4),
			ask:    ec2.AssignPrivateIpAddressesInput{SecondaryPrivateIpAddressCount: aws.Int32(1)},
			code:   ec2sim.CodeLimitExceeded,
		},
		"one prefix more than the interface holds": {
			before: give(5, 4),
			ask:    ec2.AssignPrivateIpAddressesInput{Ipv4PrefixCount: aws.Int32(1)},
			code:   ec2sim.CodeLimitExceeded,
		},
		"the limit counts both kinds and the primary address": {
			ask: ec2.AssignPrivateIpAddressesInput{
				Ipv4PrefixCount: aws.Int32(5), SecondaryPrivateIpAddressCount: aws.Int32(5),
			},
			code: ec2sim.CodeLimitExceeded,
		},
		"all 14 blocks of a /24": {
			kind: "c5.4xlarge",
			ask:  ec2.AssignPrivateIpAddressesInput{Ipv4PrefixCount: aws.Int32(14)},
			want: ec2sim.Slots{Prefixes: blocks("10.0.0.16/28", 14)},
		},
		"more blocks than there are: none at all": {
			kind: "c5.4xlarge",
			ask:  ec2.AssignPrivateIpAddressesInput{Ipv4PrefixCount: aws.Int32(15)},
			code: ec2sim.CodeInsufficientBlocks,
		},
		"a prefix in a fragmented subnet": {
			before: fragment,
			ask:    ec2.AssignPrivateIpAddressesInput{Ipv4PrefixCount: aws.Int32(1)},
			code:   ec2sim.CodeInsufficientBlocks,
		},
		"an address in a fragmented subnet": {
			before: fragment,
			ask:    ec2.AssignPrivateIpAddressesInput{SecondaryPrivateIpAddressCount: aws.Int32(1)},
			want:   ec2sim.Slots{Addresses: addrs("10.0.0.5")},
		},
		"more addresses than there are: none at all": {
			before: occupy("10.0.0.8/29", "10.0.0.16/28", "10.0.0.32/27", "10.0.0.64/26", "10.0.0.128/26",
				"10.0.0.192/27", "10.0.0.224/28", "10.0.0.240/29", "10.0.0.248/30", "10.0.0.252/31", "10.0.0.254/32"),
			ask:  ec2.AssignPrivateIpAddressesInput{SecondaryPrivateIpAddressCount: aws.Int32(4)},
			code: ec2sim.CodeInsufficientAddresses,
		},
		"room for an address but not for the prefix: none at all": {
			before: fragment,
			ask: ec2.AssignPrivateIpAddressesInput{
				Ipv4PrefixCount: aws.Int32(1), SecondaryPrivateIpAddressCount: aws.Int32(1),
			},
			code: ec2sim.CodeInsufficientBlocks,
		},

		"automatic prefixes come from prefix reservations first": {
			before: reserve(ec2sim.ReservedForPrefixes, "10.0.0.64/27"),
			ask:    ec2.AssignPrivateIpAddressesInput{Ipv4PrefixCount: aws.Int32(3)},
			want:   ec2sim.Slots{Prefixes: cidrs("10.0.0.64/28", "10.0.0.80/28", "10.0.0.16/28")},
		},
		"automatic addresses keep off prefix reservations": {
			before: reserve(ec2sim.ReservedForPrefixes, "10.0.0.0/26"),
			ask:    ec2.AssignPrivateIpAddressesInput{SecondaryPrivateIpAddressCount: aws.Int32(1)},
			want:   ec2sim.Slots{Addresses: addrs("10.0.0.64")},
		},
		"automatic prefixes keep off explicit reservations": {
			before: reserve(ec2sim.ReservedExplicit, "10.0.0.16/30", "10.0.0.32/28"),
			ask:    ec2.AssignPrivateIpAddressesInput{Ipv4PrefixCount: aws.Int32(1)},
			want:   ec2sim.Slots{Prefixes: cidrs("10.0.0.48/28")},
		},
		"automatic addresses keep off explicit reservations": {
			before: reserve(ec2sim.ReservedExplicit, "10.0.0.0/26"),
			ask:    ec2.AssignPrivateIpAddressesInput{SecondaryPrivateIpAddressCount: aws.Int32(1)},
			want:   ec2sim.Slots{Addresses: addrs("10.0.0.64")},
		},
		"what is named may come from any reservation": {
			before: reserve(ec2sim.ReservedExplicit, "10.0.0.16/28", "10.0.0.32/28"),
			ask: ec2.AssignPrivateIpAddressesInput{
				Ipv4Prefixes: []string{"10.0.0.16/28"}, PrivateIpAddresses: []string{"10.0.0.33"},
			},
			want: ec2sim.Slots{Addresses: addrs("10.0.0.33"), Prefixes: cidrs("10.0.0.16/28")},
		},

		"the first block by name":        refused(ec2.AssignPrivateIpAddressesInput{Ipv4Prefixes: []string{"10.0.0.0/28"}}),
		"the last block by name":         refused(ec2.AssignPrivateIpAddressesInput{Ipv4Prefixes: []string{"10.0.0.240/28"}}),
		"a block off the boundary":       refused(ec2.AssignPrivateIpAddressesInput{Ipv4Prefixes: []string{"10.0.0.24/28"}}),
		"a block of another size":        refused(ec2.AssignPrivateIpAddressesInput{Ipv4Prefixes: []string{"10.0.0.32/27"}}),
		"a block outside":                refused(ec2.AssignPrivateIpAddressesInput{Ipv4Prefixes: []string{"10.0.1.16/28"}}),
		"the router's address":           refused(ec2.AssignPrivateIpAddressesInput{PrivateIpAddresses: []string{"10.0.0.1"}}),
		"the last reserved of the first": refused(ec2.AssignPrivateIpAddressesInput{PrivateIpAddresses: []string{"10.0.0.3"}}),
		"the broadcast address":          refused(ec2.AssignPrivateIpAddressesInput{PrivateIpAddresses: []string{"10.0.0.255"}}),
		"an address outside":             refused(ec2.AssignPrivateIpAddressesInput{PrivateIpAddresses: []string{"10.0.1.9"}}),
		"an address in use":              refused(ec2.AssignPrivateIpAddressesInput{PrivateIpAddresses: []string{"10.0.0.4"}}),
		"one of two in use":              refused(ec2.AssignPrivateIpAddressesInput{PrivateIpAddresses: []string{"10.0.0.5", "10.0.0.4"}}),
		"an address twice":               refused(ec2.AssignPrivateIpAddressesInput{PrivateIpAddresses: []string{"10.0.0.5", "10.0.0.5"}}),
		"no address":                     refused(ec2.AssignPrivateIpAddressesInput{PrivateIpAddresses: []string{"ten"}}),
		"a negative number":              refused(ec2.AssignPrivateIpAddressesInput{Ipv4PrefixCount: aws.Int32(-1)}),
		"a number and a list": {
			ask: ec2.AssignPrivateIpAddressesInput{
				Ipv4PrefixCount: aws.Int32(1), Ipv4Prefixes: []string{"10.0.0.16/28"},
			},
			code: ec2sim.CodeInvalidCombination,
		},
		"nothing": {code: ec2sim.CodeMissingParameter},
		"an interface that is not there": {
			ask:  ec2.AssignPrivateIpAddressesInput{NetworkInterfaceId: aws.String("eni-0"), Ipv4PrefixCount: aws.Int32(1)},
			code: ec2sim.CodeInvalidInterface,
		},
		"an interface whose instance has ended": {
			before: func(t *testing.T, sim *ec2sim.Server) { check.Must(t, sim.Terminate("i-1")) },
			ask:    ec2.AssignPrivateIpAddressesInput{Ipv4PrefixCount: aws.Int32(1)},
			code:   ec2sim.CodeInvalidInterface,
		},
		"a prefix on a xen instance": {
			kind: "m4.large",
			ask:  ec2.AssignPrivateIpAddressesInput{Ipv4PrefixCount: aws.Int32(1)},
			code: ec2sim.CodeUnsupported,
		},
		"an address on a xen instance": {
			kind: "m4.large",
			ask:  ec2.AssignPrivateIpAddressesInput{SecondaryPrivateIpAddressCount: aws.Int32(1)},
			want: ec2sim.Slots{Addresses: addrs("10.0.0.5")},
		},
		"reassignment": {
			ask: ec2.AssignPrivateIpAddressesInput{
				AllowReassignment: aws.Bool(true), PrivateIpAddresses: []string{"10.0.0.5"},
			},
			code: ec2sim.CodeUnsupported,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sim, client := start(t, ec2sim.Options{})
			if test.kind == "" {
				test.kind = "c5.large"
			}
			eni := run(t, sim, "i-1", test.kind)
			if test.before != nil {
				test.before(t, sim)
			}
			before, _ := sim.Interface(eni.ID)
			if test.ask.NetworkInterfaceId == nil {
				test.ask.NetworkInterfaceId = &eni.ID
			}

			out, err := client.AssignPrivateIpAddresses(t.Context(), &test.ask)
			if got := codeOf(t, err); got != test.code {
				t.Fatalf("code = %q (%v), want %q", got, err, test.code)
			}
			if err == nil {
				if diff := cmp.Diff(test.want, assigned(out), compareSlots); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
			}
			before.Addresses = append(before.Addresses, test.want.Addresses...)
			before.Prefixes = append(before.Prefixes, test.want.Prefixes...)
			if after, _ := sim.Interface(eni.ID); !cmp.Equal(before.Slots, after.Slots, compareSlots) {
				t.Errorf("interface (-want +got):\n%s", cmp.Diff(before.Slots, after.Slots, compareSlots))
			}
		})
	}
}

// refused is a test whose request has a value that EC2 refuses.
func refused(ask ec2.AssignPrivateIpAddressesInput) assignTest {
	return assignTest{ask: ask, code: ec2sim.CodeInvalidValue}
}

type unassignTest struct {
	ask  ec2.UnassignPrivateIpAddressesInput
	want ec2sim.Slots // what is left of four
	code string
}

func TestUnassign(t *testing.T) {
	tests := map[string]unassignTest{
		"an address": {
			ask:  ec2.UnassignPrivateIpAddressesInput{PrivateIpAddresses: []string{"10.0.0.5"}},
			want: ec2sim.Slots{Addresses: addrs("10.0.0.6"), Prefixes: cidrs("10.0.0.16/28", "10.0.0.32/28")},
		},
		"a prefix": {
			ask:  ec2.UnassignPrivateIpAddressesInput{Ipv4Prefixes: []string{"10.0.0.32/28"}},
			want: ec2sim.Slots{Addresses: addrs("10.0.0.5", "10.0.0.6"), Prefixes: cidrs("10.0.0.16/28")},
		},
		"everything": {
			ask: ec2.UnassignPrivateIpAddressesInput{
				PrivateIpAddresses: []string{"10.0.0.5", "10.0.0.6"},
				Ipv4Prefixes:       []string{"10.0.0.16/28", "10.0.0.32/28"},
			},
		},
		"one of two not there": kept(ec2.UnassignPrivateIpAddressesInput{PrivateIpAddresses: []string{"10.0.0.5", "10.0.0.9"}}),
		"an address twice":     kept(ec2.UnassignPrivateIpAddressesInput{PrivateIpAddresses: []string{"10.0.0.5", "10.0.0.5"}}),
		"the primary address":  kept(ec2.UnassignPrivateIpAddressesInput{PrivateIpAddresses: []string{"10.0.0.4"}}),
		"part of a prefix":     kept(ec2.UnassignPrivateIpAddressesInput{PrivateIpAddresses: []string{"10.0.0.17"}}),
		"a prefix not there":   kept(ec2.UnassignPrivateIpAddressesInput{Ipv4Prefixes: []string{"10.0.0.48/28"}}),
		"no interface": {
			ask: ec2.UnassignPrivateIpAddressesInput{
				NetworkInterfaceId: aws.String("eni-0"), PrivateIpAddresses: []string{"10.0.0.5"},
			},
			want: four,
			code: ec2sim.CodeInvalidInterface,
		},
		"nothing": {want: four, code: ec2sim.CodeMissingParameter},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sim, client := start(t, ec2sim.Options{})
			eni := run(t, sim, "i-1", "c5.large")
			give(2, 2)(t, sim)
			if test.ask.NetworkInterfaceId == nil {
				test.ask.NetworkInterfaceId = &eni.ID
			}
			_, err := client.UnassignPrivateIpAddresses(t.Context(), &test.ask)
			if got := codeOf(t, err); got != test.code {
				t.Errorf("code = %q (%v), want %q", got, err, test.code)
			}
			after, _ := sim.Interface(eni.ID)
			if diff := cmp.Diff(test.want, after.Slots, compareSlots); diff != "" {
				t.Errorf("interface (-want +got):\n%s", diff)
			}
		})
	}
}

// four are the slots that the interface has at first.
var four = ec2sim.Slots{Addresses: addrs("10.0.0.5", "10.0.0.6"), Prefixes: cidrs("10.0.0.16/28", "10.0.0.32/28")}

// kept is a test in which nothing is taken.
func kept(ask ec2.UnassignPrivateIpAddressesInput) unassignTest {
	return unassignTest{ask: ask, want: four, code: ec2sim.CodeInvalidValue}
}

func TestReuse(t *testing.T) {
	tests := map[string]struct {
		order ec2sim.Reuse
		want  ec2sim.Slots
	}{
		"lowest first":       {ec2sim.LowestFirst, ec2sim.Slots{Addresses: addrs("10.0.0.5"), Prefixes: cidrs("10.0.0.16/28")}},
		"longest free first": {ec2sim.LongestFreeFirst, ec2sim.Slots{Addresses: addrs("10.0.0.6"), Prefixes: cidrs("10.0.0.32/28")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sim, _ := start(t, ec2sim.Options{Reuse: test.order})
			eni := run(t, sim, "i-1", "c5.large")
			first, err := sim.Assign(eni.ID, ec2sim.Request{AddressCount: 1, PrefixCount: 1})
			check.Must(t, err)
			check.Must(t, sim.Unassign(eni.ID, first))
			again, err := sim.Assign(eni.ID, ec2sim.Request{AddressCount: 1, PrefixCount: 1})
			check.Must(t, err)
			if diff := cmp.Diff(test.want, again, compareSlots); diff != "" {
				t.Errorf("second assignment (-want +got):\n%s", diff)
			}
		})
	}
}

func assigned(out *ec2.AssignPrivateIpAddressesOutput) (got ec2sim.Slots) {
	for _, a := range out.AssignedPrivateIpAddresses {
		got.Addresses = append(got.Addresses, netip.MustParseAddr(*a.PrivateIpAddress))
	}
	for _, p := range out.AssignedIpv4Prefixes {
		got.Prefixes = append(got.Prefixes, cidr(*p.Ipv4Prefix))
	}
	return got
}

// give assigns slots to the instance under test, as another client.
func give(addresses, prefixes int) func(*testing.T, *ec2sim.Server) {
	return func(t *testing.T, sim *ec2sim.Server) {
		_, err := sim.Assign(sim.Interfaces()[0].ID, ec2sim.Request{AddressCount: addresses, PrefixCount: prefixes})
		check.Must(t, err)
	}
}

func occupy(ranges ...string) func(*testing.T, *ec2sim.Server) {
	return func(t *testing.T, sim *ec2sim.Server) {
		_, err := sim.Occupy(subnetA, cidrs(ranges...)...)
		check.Must(t, err)
	}
}

func fragment(t *testing.T, sim *ec2sim.Server) {
	_, err := sim.Fragment(subnetA)
	check.Must(t, err)
}

func reserve(kind ec2sim.ReservationKind, ranges ...string) func(*testing.T, *ec2sim.Server) {
	return func(t *testing.T, sim *ec2sim.Server) {
		for _, r := range ranges {
			_, err := sim.AddReservation(subnetA, cidr(r), kind)
			check.Must(t, err)
		}
	}
}

// blocks lists n blocks from the first on.
func blocks(first string, n int) []netip.Prefix {
	all := cidrs(first)
	for len(all) < n {
		a := all[len(all)-1].Addr().As4()
		a[3] += 16
		all = append(all, netip.PrefixFrom(netip.AddrFrom4(a), 28))
	}
	return all
}
