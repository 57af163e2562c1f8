package ec2sim_test

import (
	"net/netip"
	"strings"
	"testing"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
)

func TestFragment(t *testing.T) {
	sim, _ := start(t, ec2sim.Options{})
	eni := run(t, sim, "i-1", "c5.large")
	reserve(ec2sim.ReservedForPrefixes, "10.0.0.64/27")(t, sim)
	giveBack, err := sim.Fragment(subnetA)
	check.Must(t, err)
	if _, err := sim.Assign(eni.ID, ec2sim.Request{PrefixCount: 1}); codeOfMethod(err) != ec2sim.CodeInsufficientBlocks {
		t.Errorf("a prefix in a fragmented subnet: %v", err)
	}
	if _, err := sim.Assign(eni.ID, ec2sim.Request{AddressCount: 5}); err != nil {
		t.Errorf("addresses in a fragmented subnet: %v", err)
	}
	giveBack()
	if _, err := sim.Assign(eni.ID, ec2sim.Request{PrefixCount: 4}); err != nil {
		t.Errorf("prefixes after it was given back: %v", err)
	}
	giveBack() // must not free what is held by now
	if got := len(sim.Interfaces()); got != 1 {
		t.Errorf("%d interfaces are left, want 1", got)
	}
}

func TestOccupy(t *testing.T) {
	tests := map[string]struct {
		ranges []netip.Prefix
		subnet string
		want   string // part of the error; empty for none
	}{
		"a block and an address": {cidrs("10.0.0.16/28", "10.0.0.32/32"), subnetA, ""},
		"what is in use":         {cidrs("10.0.0.16/28", "10.0.0.4/32"), subnetA, "10.0.0.4/32 is not free"},
		"what is reserved":       {cidrs("10.0.0.0/28"), subnetA, "10.0.0.0/28 is not free"},
		"the same twice":         {cidrs("10.0.0.16/28", "10.0.0.17/32"), subnetA, "10.0.0.17/32 is not free"},
		"no subnet":              {nil, "subnet-9", ec2sim.CodeInvalidSubnet},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sim, _ := start(t, ec2sim.Options{})
			run(t, sim, "i-1", "c5.large")
			giveBack, err := sim.Occupy(test.subnet, test.ranges...)
			if test.want == "" {
				check.Must(t, err)
				if got := len(sim.Interfaces()); got != 1+17 {
					t.Errorf("%d interfaces, want one for each of 17 addresses beside the instance's", got)
				}
				giveBack()
			} else if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want %q", err, test.want)
			}
			if got := len(sim.Interfaces()); got != 1 {
				t.Errorf("%d interfaces at the end, want 1", got)
			}
		})
	}
}

func TestBuild(t *testing.T) {
	subnets := []ec2sim.Subnet{{ID: "s", Zone: "z", CIDR: cidr("10.1.0.0/24")}}
	tests := map[string]struct {
		inventory ec2sim.Inventory
		want      string // part of the error; empty for none
	}{
		"all of it": {inventory: ec2sim.Inventory{
			Types: []ec2sim.Type{{Name: "z9.large", Interfaces: 1, Addresses: 3, Hypervisor: ec2sim.Xen}},
			Subnets: []ec2sim.Subnet{{ID: "s", Zone: "z", CIDR: cidr("10.1.0.0/24"), Reservations: []ec2sim.Reservation{
				{CIDR: cidr("10.1.0.0/25"), Kind: ec2sim.ReservedExplicit},
			}}},
			Instances: []ec2sim.Instance{
				{ID: "i-1", Type: "z9.large", Subnet: "s"},
				{ID: "i-2", Type: "c5.large", Subnet: "s", Address: netip.MustParseAddr("10.1.0.9")},
			},
		}},
		"subnet too large":    {ec2sim.Inventory{Subnets: []ec2sim.Subnet{{ID: "s", CIDR: cidr("10.0.0.0/15")}}}, "between /16 and /28"},
		"subnet too small":    {ec2sim.Inventory{Subnets: []ec2sim.Subnet{{ID: "s", CIDR: cidr("10.0.0.0/29")}}}, "between /16 and /28"},
		"subnet off boundary": {ec2sim.Inventory{Subnets: []ec2sim.Subnet{{ID: "s", CIDR: cidr("10.0.0.1/24")}}}, "between /16 and /28"},
		"subnet of IPv6":      {ec2sim.Inventory{Subnets: []ec2sim.Subnet{{ID: "s", CIDR: cidr("::/24")}}}, "between /16 and /28"},
		"subnets overlap":     {ec2sim.Inventory{Subnets: append(subnets, ec2sim.Subnet{ID: "s2", CIDR: cidr("10.1.0.0/25")})}, "there is s 10.1.0.0/24 already"},
		"subnet twice":        {ec2sim.Inventory{Subnets: append(subnets, ec2sim.Subnet{ID: "s", CIDR: cidr("10.2.0.0/25")})}, "there is s 10.1.0.0/24 already"},
		"reservation outside": {ec2sim.Inventory{Subnets: reserved("10.2.0.0/28", "prefix")}, "no block of the subnet"},
		"reservation larger":  {ec2sim.Inventory{Subnets: reserved("10.1.0.0/23", "prefix")}, "no block of the subnet"},
		"reservation unlike":  {ec2sim.Inventory{Subnets: reserved("10.1.0.16/28", "both")}, "neither prefix nor explicit"},
		"unknown type":        {ec2sim.Inventory{Subnets: subnets, Instances: []ec2sim.Instance{{ID: "i-1", Type: "q", Subnet: "s"}}}, ec2sim.CodeInvalidInstanceType},
		"unknown subnet":      {ec2sim.Inventory{Subnets: subnets, Instances: []ec2sim.Instance{{ID: "i-1", Type: "c5.large", Subnet: "t"}}}, ec2sim.CodeInvalidSubnet},
		"instance twice": {ec2sim.Inventory{Subnets: subnets, Instances: []ec2sim.Instance{
			{ID: "i-1", Type: "c5.large", Subnet: "s"}, {ID: "i-1", Type: "c5.large", Subnet: "s"},
		}}, "an id of its own"},
		"address reserved": {ec2sim.Inventory{Subnets: subnets, Instances: []ec2sim.Instance{
			{ID: "i-1", Type: "c5.large", Subnet: "s", Address: netip.MustParseAddr("10.1.0.3")},
		}}, ec2sim.CodeInvalidValue},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sim := ec2sim.New(ec2sim.Options{})
			err := sim.Build(test.inventory)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("error = %v, want %q", err, test.want)
				}
				return
			}
			check.Must(t, err)
			one, two := sim.Interfaces()[0], sim.Interfaces()[1]
			if one.Primary.String() != "10.1.0.128" || one.Limit != 3 || two.Primary.String() != "10.1.0.9" || two.Limit != 10 {
				t.Errorf("interfaces = %+v %+v", one, two)
			}
		})
	}
}

func reserved(block string, kind ec2sim.ReservationKind) []ec2sim.Subnet {
	return []ec2sim.Subnet{{ID: "s", CIDR: cidr("10.1.0.0/24"), Reservations: []ec2sim.Reservation{{CIDR: cidr(block), Kind: kind}}}}
}

func TestReservationsDoNotOverlap(t *testing.T) {
	sim, _ := start(t, ec2sim.Options{})
	reserve(ec2sim.ReservedForPrefixes, "10.0.0.64/27")(t, sim)
	if _, err := sim.AddReservation(subnetA, cidr("10.0.0.80/28"), ec2sim.ReservedExplicit); err == nil {
		t.Error("two reservations of one block")
	}
}

func TestSubnetWithoutRoom(t *testing.T) {
	sim := ec2sim.New(ec2sim.Options{})
	check.Must(t, sim.AddSubnet("s", "z", cidr("10.0.0.0/28")))
	for i := range 11 {
		_, err := sim.AddInstance(ec2sim.Instance{ID: strings.Repeat("i", i+1), Type: "c5.large", Subnet: "s"})
		check.Must(t, err)
	}
	_, err := sim.AddInstance(ec2sim.Instance{ID: "one more", Type: "c5.large", Subnet: "s"})
	if codeOfMethod(err) != ec2sim.CodeInsufficientAddresses {
		t.Errorf("the 12th instance in a /28: %v", err)
	}
	check.Must(t, sim.Check())
}

func TestSecondInterface(t *testing.T) {
	sim, _ := start(t, ec2sim.Options{})
	run(t, sim, "i-1", "c5.large")
	second, err := sim.AddInterface("i-1", 1)
	check.Must(t, err)
	if second.Device != 1 || second.Limit != 10 || second.Instance != "i-1" {
		t.Errorf("second interface = %+v", second)
	}
	if _, err := sim.AddInterface("i-1", 1); err == nil {
		t.Error("two interfaces at one device index")
	}
	check.Must(t, sim.Terminate("i-1"))
	if got := sim.Interfaces(); len(got) != 0 {
		t.Errorf("left of a terminated instance: %+v", got)
	}
	if _, err := sim.AddInterface("i-1", 2); codeOfMethod(err) != ec2sim.CodeInvalidInstance {
		t.Errorf("an interface for a terminated instance: %v", err)
	}
	if err := sim.Terminate("i-9"); codeOfMethod(err) != ec2sim.CodeInvalidInstance {
		t.Errorf("terminating what is not there: %v", err)
	}
}
