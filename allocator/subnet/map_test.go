package subnet

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"slotwise.dev/slotwise/allocator/ledger"
)

func TestRoom(t *testing.T) {
	p := netip.MustParsePrefix
	for name, c := range map[string]struct {
		cidr         string
		reservations []Reservation
		used         []string
		prefixes     int
		addresses    int
	}{
		"an empty /24: its first and last /28 are never eligible": {
			cidr: "10.0.0.0/24", prefixes: 14, addresses: 251,
		},
		"a /28 has no prefix to give": {cidr: "10.0.0.16/28", prefixes: 0, addresses: 11},
		"one address spoils its /28": {
			cidr: "10.0.0.0/24", used: []string{"10.0.0.37/32"}, prefixes: 13, addresses: 250,
		},
		"a prefix takes its sixteen addresses": {
			cidr: "10.0.0.0/24", used: []string{"10.0.0.32/28"}, prefixes: 13, addresses: 235,
		},
		"fragmented: addresses, but no prefix": {
			cidr: "10.0.0.0/26", used: []string{"10.0.0.17/32", "10.0.0.46/32"}, prefixes: 0, addresses: 57,
		},
		"a reservation for prefixes serves prefixes only": {
			cidr: "10.0.0.0/26", reservations: []Reservation{{p("10.0.0.16/28"), ForPrefixes}}, prefixes: 2, addresses: 43,
		},
		"an explicit reservation serves nothing automatic": {
			cidr: "10.0.0.0/26", reservations: []Reservation{{p("10.0.0.16/28"), Explicit}}, prefixes: 1, addresses: 43,
		},
		"a reservation that cuts through a /28": {
			cidr: "10.0.0.0/26", reservations: []Reservation{{p("10.0.0.16/30"), ForPrefixes}}, prefixes: 1, addresses: 55,
		},
		"a reservation of all of it": {
			cidr: "10.0.0.0/26", reservations: []Reservation{{p("10.0.0.0/26"), ForPrefixes}}, prefixes: 2, addresses: 0,
		},
		"a reservation for prefixes of which one is used": {
			cidr: "10.0.0.0/26", reservations: []Reservation{{p("10.0.0.16/28"), ForPrefixes}}, used: []string{"10.0.0.20/32"}, prefixes: 1, addresses: 43,
		},
		"a block of another subnet changes nothing": {
			cidr: "10.0.0.0/26", used: []string{"10.9.0.16/28", "10.0.0.0/16"}, prefixes: 2, addresses: 59,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMap(p(c.cidr), c.reservations)
			for _, u := range c.used {
				m.Take(p(u))
			}
			if got := m.Room(ledger.Prefix); got != c.prefixes {
				t.Errorf("room for prefixes = %d, want %d", got, c.prefixes)
			}
			if got := m.Room(ledger.SecondaryIP); got != c.addresses {
				t.Errorf("room for addresses = %d, want %d", got, c.addresses)
			}
		})
	}
}

// However blocks come and go, the room is what a count from nothing finds.
func TestRoomIsWhatACountFinds(t *testing.T) {
	cidr := netip.MustParsePrefix("10.0.0.0/24")
	rapid.Check(t, func(t *rapid.T) {
		block := rapid.Custom(func(t *rapid.T) netip.Prefix {
			bits := rapid.SampledFrom([]int{28, 32}).Draw(t, "bits")
			host := rapid.Byte().Draw(t, "host")
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, host}), bits).Masked()
		})
		m, used := NewMap(cidr, nil), map[netip.Addr]bool{}
		for _, host := range []byte{0, 1, 2, 3, 255} {
			used[netip.AddrFrom4([4]byte{10, 0, 0, host})] = true
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			b, take := block.Draw(t, "block"), rapid.Bool().Draw(t, "take")
			if take {
				m.Take(b)
			} else {
				m.Give(b)
			}
			for a := b.Addr(); b.Contains(a); a = a.Next() {
				used[a] = take
			}
		}
		free, blocks := 0, 0
		for first := 0; first < 256; first += 16 {
			here := 0
			for host := first; host < first+16; host++ {
				if !used[netip.AddrFrom4([4]byte{10, 0, 0, byte(host)})] {
					here++
				}
			}
			free += here
			if here == 16 {
				blocks++
			}
		}
		if m.Room(ledger.SecondaryIP) != free || m.Room(ledger.Prefix) != blocks {
			t.Fatalf("room = %d addresses, %d prefixes; a count finds %d and %d",
				m.Room(ledger.SecondaryIP), m.Room(ledger.Prefix), free, blocks)
		}
	})
}

// What cannot be seen may lie anywhere, but not where a reservation keeps it out.
func TestHiddenUse(t *testing.T) {
	reserved := []Reservation{{CIDR: netip.MustParsePrefix("10.0.0.16/28"), Kind: ForPrefixes}}
	for name, c := range map[string]struct {
		reservations          []Reservation
		available             int
		hidden, blocks, addrs int
	}{
		"nothing is hidden":       {nil, 59, 0, 2, 59},
		"some is":                 {nil, 40, 19, 2, 40},
		"too much for two blocks": {nil, 31, 28, 1, 31},
		"all is taken":            {nil, 0, 59, 0, 0},
		"but what is reserved":    {reserved, 0, 43, 1, 0},
		"more is free than seen":  {nil, 70, 0, 2, 59},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMap(netip.MustParsePrefix("10.0.0.0/26"), c.reservations)
			if got := m.Hide(c.available); got != c.hidden {
				t.Errorf("%d hidden, want %d", got, c.hidden)
			}
			if blocks, addrs := m.Room(ledger.Prefix), m.Room(ledger.SecondaryIP); blocks != c.blocks || addrs != c.addrs {
				t.Errorf("room for %d blocks, %d addresses; want %d, %d", blocks, addrs, c.blocks, c.addrs)
			}
		})
	}
}

// What nobody has can be asked for by name, even under a reservation.
func TestUnused(t *testing.T) {
	p := netip.MustParsePrefix
	m := NewMap(p("10.0.0.0/26"), []Reservation{{p("10.0.0.32/28"), Explicit}})
	m.Take(p("10.0.0.20/32"))
	for block, want := range map[string]bool{
		"10.0.0.32/28": true,  // reserved, and nobody's
		"10.0.0.16/28": false, // one address is used
		"10.0.0.21/32": true,
		"10.0.0.20/32": false,
		"10.0.0.0/28":  false, // the first ones are AWS's
		"10.0.1.0/28":  false, // of another subnet
	} {
		if got := m.Unused(p(block)); got != want {
			t.Errorf("Unused(%s) = %t, want %t", block, got, want)
		}
	}
}
