package witness

import (
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"

	"slotwise.dev/slotwise/test/ec2sim"
)

// newBook is a c5.large (9 slots) whose pods have the first n addresses of what
// the interface has.
func newBook(s Settings, held int, slots ec2sim.Slots) book {
	b := book{settings: s, prefixes: s.Prefixes, held: map[netip.Addr]bool{}, asked: held, podRoom: 110, limit: unlimited, room: room{addresses: 100, prefixes: 5},
		eni: ec2sim.Interface{ID: eni, Subnet: "subnet", Limit: 10, Slots: slots}}
	for _, a := range slots.Addresses[:min(held, len(slots.Addresses))] {
		b.held[a] = true
	}
	if held -= len(slots.Addresses); held > 0 {
		for a := slots.Prefixes[0].Addr(); held > 0; a, held = a.Next(), held-1 {
			b.held[a] = true
		}
	}
	return b
}

func singles(n int) (all []netip.Addr) {
	for a := netip.MustParseAddr("10.0.1.16"); n > 0; a, n = a.Next(), n-1 {
		all = append(all, a)
	}
	return all
}

func blocks(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

func TestBook(t *testing.T) {
	prefixes := Settings{Prefixes: true}
	one := blocks("10.0.0.16/28")
	two := blocks("10.0.0.16/28", "10.0.0.32/28")
	for name, test := range map[string]struct {
		book      book
		shown     func(*Shown)
		remaining int
		want      string // a part of what is found; empty: nothing
	}{
		"secondary IPs":                              {book: newBook(Settings{}, 2, ec2sim.Slots{Addresses: singles(5)}), remaining: 7},
		"prefixes":                                   {book: newBook(prefixes, 3, ec2sim.Slots{Prefixes: one}), remaining: 13 + 5*16},
		"both, on the way to":                        {book: newBook(prefixes, 4, ec2sim.Slots{Addresses: singles(4), Prefixes: one}), remaining: 16 + 4*16},
		"both, on the way back":                      {book: newBook(Settings{}, 6, ec2sim.Slots{Addresses: singles(4), Prefixes: one}).with(3), remaining: 4},
		"a warm prefix":                              {book: newBook(Settings{Prefixes: true, WarmPrefix: 1}, 3, ec2sim.Slots{Prefixes: two}), remaining: 29 + 5*16},
		"pods that wait for no room":                 {book: waiting(newBook(Settings{}, 9, ec2sim.Slots{Addresses: singles(9)}), 2), remaining: -2},
		"pods that wait for nothing":                 {book: waiting(newBook(Settings{}, 8, ec2sim.Slots{Addresses: singles(9)}), 1), want: "have no address"},
		"a figure is wrong":                          {book: newBook(Settings{}, 2, ec2sim.Slots{Addresses: singles(5)}), shown: func(s *Shown) { s.InUse = 3 }, remaining: 7, want: "NodeSlots shows"},
		"something cools for ever":                   {book: newBook(Settings{}, 2, ec2sim.Slots{Addresses: singles(5)}), shown: func(s *Shown) { s.Cooling = 1 }, remaining: 7, want: "NodeSlots shows"},
		"a prefix is kept":                           {book: newBook(prefixes, 3, ec2sim.Slots{Prefixes: two}), remaining: 29 + 5*16, want: "the warm pool asks for 1"},
		"an address is kept":                         {book: newBook(Settings{}, 2, ec2sim.Slots{Addresses: singles(6)}), remaining: 7, want: "the warm pool asks for 5"},
		"an address of the old mode":                 {book: newBook(prefixes, 0, ec2sim.Slots{Addresses: singles(1), Prefixes: one}), remaining: 16 + 5*16, want: "other mode"},
		"the pool is not warm":                       {book: newBook(Settings{}, 2, ec2sim.Slots{Addresses: singles(3)}), remaining: 7, want: "3 blocks, the warm pool asks for 5"},
		"a pod's address is not here":                {book: stray(newBook(Settings{}, 2, ec2sim.Slots{Addresses: singles(5)})), remaining: 7, want: "not on its interface"},
		"a pod elsewhere has one":                    {book: elsewhereHeld(newBook(Settings{}, 2, ec2sim.Slots{Addresses: singles(6)})), remaining: 6},
		"a pod elsewhere has one, in the other mode": {book: elsewhereHeld(newBook(prefixes, 0, ec2sim.Slots{Addresses: singles(1), Prefixes: one})), remaining: 16 + 5*16},
		"max-pods leaves no room":                    {book: crowded(newBook(Settings{}, 2, ec2sim.Slots{Addresses: singles(3)}), 1), remaining: 7},
		"warmed beyond max-pods":                     {book: crowded(newBook(Settings{}, 2, ec2sim.Slots{Addresses: singles(5)}), 1), remaining: 7, want: "warm pool asks for 3"},
		"a pod that does not ask":                    {book: silent(newBook(Settings{}, 2, ec2sim.Slots{Addresses: singles(5)})), remaining: 7},
		"a pod was told of it":                       {book: told(stray(newBook(Settings{}, 2, ec2sim.Slots{Addresses: singles(5)}))), remaining: 7},
	} {
		t.Run(name, func(t *testing.T) {
			b := test.book
			shown := b.shows()
			if test.shown != nil {
				test.shown(&shown)
			}
			if got := b.remaining(); got != test.remaining {
				t.Errorf("%d addresses remain, want %d", got, test.remaining)
			}
			var texts []string
			for _, x := range b.compare(shown, advertising(b.asked+max(0, b.remaining()))) {
				texts = append(texts, x.text)
			}
			found := strings.Join(texts, "\n")
			if test.want == "" && found != "" || !strings.Contains(found, test.want) {
				t.Errorf("found %q, want %q", found, test.want)
			}
		})
	}
	t.Run("EC2 has refused what was asked last", func(t *testing.T) {
		b := newBook(Settings{}, 2, ec2sim.Slots{Addresses: singles(5)})
		b.probes = true
		less := b
		less.limit = 1
		if wrong, usable := b.judge(less.shows(), advertising(b.asked+4)); len(wrong) > 0 || usable != 4 {
			t.Errorf("found %v, and %d usable, want 4", wrong, usable)
		}
		if wrong, usable := b.judge(b.shows(), advertising(b.asked+7)); len(wrong) > 0 || usable != 7 {
			t.Errorf("found %v, and %d usable, want 7", wrong, usable)
		}
		b.probes = false
		if wrong, _ := b.judge(less.shows(), advertising(b.asked+4)); len(wrong) == 0 {
			t.Error("that less is counted on is not found although EC2 has refused nothing")
		}
	})
	t.Run("advertised too much", func(t *testing.T) {
		b := newBook(Settings{}, 2, ec2sim.Slots{Addresses: singles(5)})
		if found := b.compare(b.shows(), advertising(10)); len(found) != 2 {
			t.Errorf("found %v, want capacity and allocatable", found)
		}
	})
}

// with has the warm pool have what it asks for.
func (b book) with(free int) book {
	b.eni.Addresses = singles(len(b.eni.Addresses) + free)
	return b
}

func waiting(b book, n int) book {
	b.waiting = n
	b.asked += n
	return b
}

func stray(b book) book {
	b.held[netip.MustParseAddr("10.9.9.9")] = true
	b.asked++
	return b
}

// elsewhereHeld has a pod of another node have the last of the addresses.
func elsewhereHeld(b book) book {
	b.elsewhere = map[netip.Addr]bool{b.eni.Addresses[len(b.eni.Addresses)-1]: true}
	return b
}

// crowded has the kubelet take so many pods more.
func crowded(b book, room int) book {
	b.podRoom = room
	return b
}

// silent has one of the pods hold its address without asking for the resource.
func silent(b book) book {
	b.asked--
	return b
}

// told has every pod know whose address is lost.
func told(b book) book {
	b.told = b.held
	return b
}

func advertising(n int) *corev1.Node {
	list := corev1.ResourceList{resource: *apiresource.NewQuantity(int64(n), apiresource.DecimalSI)}
	return &corev1.Node{Status: corev1.NodeStatus{Capacity: list, Allocatable: list}}
}

func TestRoom(t *testing.T) {
	cidr := netip.MustParsePrefix("10.0.0.0/26") // four blocks, the first and last of which are Amazon's in part
	reserved := func(kind ec2sim.ReservationKind) []ec2sim.Reservation {
		return []ec2sim.Reservation{{CIDR: netip.MustParsePrefix("10.0.0.16/28"), Kind: kind}}
	}
	for name, test := range map[string]struct {
		interfaces   []ec2sim.Interface
		reservations []ec2sim.Reservation
		want         room
	}{
		"empty":                   {want: room{addresses: 59, prefixes: 2}},
		"reserved for prefixes":   {reservations: reserved(ec2sim.ReservedForPrefixes), want: room{addresses: 43, prefixes: 2}},
		"reserved explicitly":     {reservations: reserved(ec2sim.ReservedExplicit), want: room{addresses: 43, prefixes: 1}},
		"an address in a block":   {interfaces: []ec2sim.Interface{{Primary: netip.MustParseAddr("10.0.0.20")}}, want: room{addresses: 58, prefixes: 1}},
		"a prefix":                {interfaces: []ec2sim.Interface{{Slots: ec2sim.Slots{Prefixes: blocks("10.0.0.32/28")}}}, want: room{addresses: 43, prefixes: 1}},
		"a secondary IP":          {interfaces: []ec2sim.Interface{{Slots: ec2sim.Slots{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.5")}}}}, want: room{addresses: 58, prefixes: 2}},
		"all of another's subnet": {interfaces: []ec2sim.Interface{{Slots: ec2sim.Slots{Prefixes: blocks("10.1.0.32/28")}}}, want: room{addresses: 59, prefixes: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := roomOf(ec2sim.Subnet{CIDR: cidr, Reservations: test.reservations}, test.interfaces); got != test.want {
				t.Errorf("room for %+v, want %+v", got, test.want)
			}
		})
	}
}
