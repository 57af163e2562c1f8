package cloud

import (
	"net/netip"
	"testing"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/subnet"
)

func TestSubnetMap(t *testing.T) {
	p := netip.MustParsePrefix
	s := Subnet{
		CIDR:         p("10.0.0.0/25"),
		Used:         []netip.Prefix{p("10.0.0.17/32"), p("10.0.0.32/28")},
		Reservations: []subnet.Reservation{{CIDR: p("10.0.0.48/28"), Kind: subnet.Explicit}},
	}
	m := s.Map()
	if got, want := m.Room(ledger.Prefix), 3; got != want { // of eight: the first and the last are AWS's
		t.Errorf("room for %d prefixes, want %d", got, want)
	}
	if m.Unused(p("10.0.0.17/32")) || !m.Unused(p("10.0.0.18/32")) {
		t.Error("what is used is not what was shown as used")
	}
}
