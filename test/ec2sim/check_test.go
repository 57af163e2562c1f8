package ec2sim

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestCheck damages a sound model in every way that Check must find.
func TestCheck(t *testing.T) {
	prefix := netip.MustParsePrefix
	// holds gives an interface slots past all books.
	holds := func(eni *networkInterface, s Slots) { eni.slots.set(time.Now(), holding{Slots: s}) }
	tests := map[string]struct {
		damage func(one, two *networkInterface, xen *networkInterface)
		want   string
	}{
		"sound": {func(_, _, _ *networkInterface) {}, ""},
		"an address that is another's primary": {func(one, two, _ *networkInterface) {
			holds(two, Slots{Addresses: []netip.Addr{one.primary}})
		}, "overlaps"},
		"one prefix on two interfaces": {func(one, two, _ *networkInterface) {
			holds(one, Slots{Prefixes: []netip.Prefix{prefix("10.0.0.16/28")}})
			holds(two, Slots{Prefixes: []netip.Prefix{prefix("10.0.0.16/28")}})
		}, "overlaps"},
		"an address inside a prefix": {func(one, two, _ *networkInterface) {
			holds(one, Slots{Prefixes: []netip.Prefix{prefix("10.0.0.16/28")}})
			holds(two, Slots{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.31")}})
		}, "overlaps"},
		"the first block": {func(one, _, _ *networkInterface) {
			one.primary = netip.MustParseAddr("10.0.0.200")
			holds(one, Slots{Prefixes: []netip.Prefix{prefix("10.0.0.0/28")}})
		}, "reserved address 10.0.0.0"},
		"the last block": {func(one, _, _ *networkInterface) {
			holds(one, Slots{Prefixes: []netip.Prefix{prefix("10.0.0.240/28")}})
		}, "reserved address 10.0.0.255"},
		"the fourth address": {func(one, _, _ *networkInterface) {
			one.primary = netip.MustParseAddr("10.0.0.3")
		}, "reserved address 10.0.0.3"},
		"outside the subnet": {func(one, _, _ *networkInterface) {
			one.primary = netip.MustParseAddr("10.0.1.9")
		}, "outside"},
		"an unaligned prefix": {func(one, _, _ *networkInterface) {
			holds(one, Slots{Prefixes: []netip.Prefix{prefix("10.0.0.24/28")}})
		}, "no aligned /28"},
		"a prefix of another size": {func(one, _, _ *networkInterface) {
			holds(one, Slots{Prefixes: []netip.Prefix{prefix("10.0.0.32/27")}})
		}, "no aligned /28"},
		"more slots than there are": {func(one, _, _ *networkInterface) {
			holds(one, Slots{Prefixes: make([]netip.Prefix, 10)})
		}, "more than its 10"},
		"a prefix on xen": {func(_, _, xen *networkInterface) {
			holds(xen, Slots{Prefixes: []netip.Prefix{prefix("10.0.0.16/28")}})
		}, "on a xen instance"},
		"held but not booked": {func(one, _, _ *networkInterface) {
			holds(one, Slots{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.9")}})
		}, "is booked for"},
		"booked but not held": {func(one, _, _ *networkInterface) {
			one.subnet.space.claim(prefix("10.0.0.9/32"), one.id)
		}, "3 addresses are held, 4 are booked"},
		"room that is not there": {func(one, _, _ *networkInterface) {
			one.subnet.space.available++
		}, "available"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := New(Options{})
			if err := s.AddSubnet("s", "z", prefix("10.0.0.0/24")); err != nil {
				t.Fatal(err)
			}
			var enis []*networkInterface
			for id, kind := range []string{"c5.large", "c5.large", "m4.large"} {
				eni, err := s.model.addInstance(Instance{ID: string(rune('a' + id)), Type: kind, Subnet: "s"})
				if err != nil {
					t.Fatal(err)
				}
				enis = append(enis, eni)
			}
			test.damage(enis[0], enis[1], enis[2])
			err := s.Check()
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("Check() = %v, want %q", err, test.want)
			}
		})
	}
}
