package faults

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/test/ec2sim"
)

// reasonAddressLost is the reason of the event on a pod whose address has gone to
// somebody else for good.
const reasonAddressLost = "AddressLost"

// takenBack limits how long it takes until what another client took from live pods is
// on their interface again: the look at the subnet of each minute notices it.
const takenBack = 75 * time.Second

const fourteenSlots = "t3.xlarge"

// TestI10AddressOnTheInterface has another client take addresses of live pods from the
// interface, and ends these pods before anything could notice it. Of the pods that
// come next none gets an address that is not there.
func TestI10AddressOnTheInterface(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode      settings
		kind      string
		old, next int
		take      func(s *system, n node, pods []*corev1.Pod) ec2sim.Slots
	}{
		"secondary IPs": {
			mode: secondaryMode, kind: fourteenSlots, old: 8, next: 14,
			take: func(s *system, _ node, pods []*corev1.Pod) ec2sim.Slots {
				return ec2sim.Slots{Addresses: s.addressesOf(pods[:5])}
			},
		},
		"a prefix": {
			mode: prefixMode, kind: threeSlots, old: 16, next: 3 * 16,
			take: func(s *system, n node, pods []*corev1.Pod) ec2sim.Slots {
				return ec2sim.Slots{Prefixes: []netip.Prefix{s.prefixOf(n, s.address(pods[0]))}}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, c.mode)
			lure := s.lure()
			n := s.node(c.kind)
			old := s.bound(c.old, n)
			s.awaitAgreement(n)
			time.Sleep(ledger.Settle + 5*time.Second) // until a new node is looked at no more
			s.must(s.ec2.Unassign(n.eni, c.take(s, n, old)))
			lure()
			time.Sleep(2 * time.Second)
			s.delete(old...)

			s.bindPatiently(s.pods(c.next), n, func(p *corev1.Pod) {
				if a := s.address(p); !s.eniHas(n, a) {
					t.Errorf("I10: %s got %s, which is not on the interface", p.Name, a)
				}
			})
			s.awaitAgreement(n)
		})
	}
}

// TestTakenBackByName has another client take from the interface what live pods have.
// The subnet still has it and a slot is free: the same is there again soon, and
// nothing else is done with what the pods had.
func TestTakenBackByName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode settings
		kind string
		pods int
		take func(s *system, n node, pods []*corev1.Pod) ec2sim.Slots
	}{
		"5 secondary IPs of 8": {
			mode: secondaryMode, kind: fourteenSlots, pods: 8,
			take: func(s *system, _ node, pods []*corev1.Pod) ec2sim.Slots {
				return ec2sim.Slots{Addresses: s.addressesOf(pods[:5])}
			},
		},
		"all secondary IPs of a full interface": {
			mode: secondaryMode, kind: fiveSlots, pods: 5,
			take: func(s *system, _ node, pods []*corev1.Pod) ec2sim.Slots {
				return ec2sim.Slots{Addresses: s.addressesOf(pods)}
			},
		},
		"one prefix of two": {
			mode: prefixMode, kind: threeSlots, pods: 20,
			take: func(s *system, n node, pods []*corev1.Pod) ec2sim.Slots {
				return ec2sim.Slots{Prefixes: []netip.Prefix{s.prefixOf(n, s.address(pods[0]))}}
			},
		},
		"a secondary IP from before a switch": {
			mode: secondaryMode, kind: fiveSlots, pods: 2,
			take: func(s *system, n node, pods []*corev1.Pod) ec2sim.Slots {
				s.configure(prefixMode)
				s.await("the node has a prefix", func() error { return s.has(n, 2, 1) })
				return ec2sim.Slots{Addresses: s.addressesOf(pods[:1])}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, c.mode)
			lure := s.lure()
			n := s.node(c.kind)
			pods := s.bound(c.pods, n)
			s.awaitAgreement(n)
			before := s.addressesOf(pods)
			taken := c.take(s, n, pods)
			s.must(s.ec2.Unassign(n.eni, taken))
			lure()

			s.within(takenBack, "all pods have their addresses on the interface", func() error {
				if lost := s.lost(n, before); len(lost) > 0 {
					return fmt.Errorf("%v are not on it", lost)
				}
				return nil
			})
			if !slices.Equal(before, s.addressesOf(pods)) {
				t.Errorf("the pods have %v now, they had %v", s.addressesOf(pods), before)
			}
			s.awaitAgreement(n)
		})
	}
}

// TestAddressLost has another client take the address of a live pod for itself, or the
// slot that it was in. It cannot be had again: an event on the pod says so, and the
// other pods have theirs.
func TestAddressLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pods   int
		occupy func(s *system, n node, a netip.Addr) error
	}{
		"the address is somebody else's": {pods: 3, occupy: func(s *system, _ node, a netip.Addr) error {
			_, err := s.ec2.Occupy(s.subnet, netip.PrefixFrom(a, 32))
			return err
		}},
		"the slot is full of something else": {pods: 5, occupy: func(s *system, n node, a netip.Addr) error {
			_, err := s.ec2.Assign(n.eni, ec2sim.Request{Slots: ec2sim.Slots{Addresses: []netip.Addr{s.far(a)}}})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, secondaryMode)
			n := s.node(fiveSlots)
			pods := s.bound(c.pods, n)
			s.awaitAgreement(n)
			lost := s.address(pods[0])
			s.ec2.ResetCalls()
			s.must(s.ec2.Unassign(n.eni, ec2sim.Slots{Addresses: []netip.Addr{lost}}))
			s.must(c.occupy(s, n, lost))

			s.within(takenBack, "an event on the pod says that it has lost its address", func() error {
				return s.podEvent(pods[0], reasonAddressLost, lost.String())
			})
			for _, p := range pods[1:] {
				if err := s.podEvent(p, reasonAddressLost, ""); err == nil {
					t.Errorf("%s has the event too", p.Name)
				}
			}
			s.onInterface(n, pods[1:]...)
			if got := s.ec2.Errors(); len(got) > 0 && sum(got) > 2 { // it may ask, and ask once more
				t.Errorf("EC2 refused %v", got)
			}
			s.delete(pods[0])
			late := s.pods(1)[0]
			s.within(takenBack, "the node goes on", func() error {
				if c.pods == 5 {
					return s.fullOrBound(late, n, lost)
				}
				return s.bind(late, n)
			})
		})
	}
}

// TestTwoClientsThatFight has another client take a pod's address off the interface
// every second, whatever Slotwise does. It is taken back, and there is no storm.
func TestTwoClientsThatFight(t *testing.T) {
	t.Parallel()
	const d, most = 100 * time.Second, 15 // ten a minute are few beside the 300 that a bucket refills with
	s := start(t, secondaryMode)
	n := s.node(fiveSlots)
	p := s.bound(1, n)[0]
	s.awaitAgreement(n)
	s.ec2.ResetCalls()
	for began := time.Now(); time.Since(began) < d; time.Sleep(time.Second) {
		_ = s.ec2.Unassign(n.eni, ec2sim.Slots{Addresses: []netip.Addr{s.address(p)}}) // where it is there
	}
	named := len(slices.DeleteFunc(s.calls(assign), func(c ec2sim.Call) bool { return len(c.Requested.Addresses) == 0 }))
	if named == 0 || named > most {
		t.Errorf("the address was asked for %d times within %s, want it taken back, %d times at the most", named, d, most)
	}
	if all := len(s.calls(assign)) + len(s.calls(unassign)); all > 2*most {
		t.Errorf("EC2 got %d changes within %s, want %d at the most", all, d, 2*most)
	}
	s.within(5*time.Minute, "the address is there once the other has given up", func() error {
		if !s.eniHas(n, s.address(p)) {
			return errors.New("it is not")
		}
		return nil
	})
}

// lure keeps the lowest addresses of the subnet away from the nodes to come. Once they
// are given back EC2 gives them before any other: what was taken from an interface does
// not come back to it by chance.
func (s *system) lure() (giveBack func()) {
	s.t.Helper()
	var low []netip.Prefix
	for a := s.cidr.Addr(); a.As4()[3] < 32; a = a.Next() {
		if a.As4()[3] > 4 { // the first four are EC2's; one is left for the primary address
			low = append(low, netip.PrefixFrom(a, 32))
		}
	}
	giveBack, err := s.ec2.Occupy(s.subnet, low...)
	s.must(err)
	return giveBack
}

// addressesOf are the addresses of pods, which must have some.
func (s *system) addressesOf(pods []*corev1.Pod) (all []netip.Addr) {
	s.t.Helper()
	for _, p := range pods {
		all = append(all, s.address(p))
	}
	return all
}

// prefixOf is the prefix of an interface that an address is in.
func (s *system) prefixOf(n node, a netip.Addr) netip.Prefix {
	s.t.Helper()
	all := s.eni(n).Prefixes
	i := slices.IndexFunc(all, func(p netip.Prefix) bool { return p.Contains(a) })
	if i < 0 {
		s.t.Fatalf("%s is in none of %v", a, all)
	}
	return all[i]
}

// lost are those of some addresses that an interface has not.
func (s *system) lost(n node, all []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return s.eniHas(n, a) })
}

// far is an address of the same subnet that automatic assignment is far from.
func (s *system) far(a netip.Addr) netip.Addr {
	four := a.As4()
	four[3] = 200
	return netip.AddrFrom4(four)
}

// bindPatiently binds pods side by side, each as often as it takes, and hands each on
// as soon as it is bound.
func (s *system) bindPatiently(pods []*corev1.Pod, n node, bound func(*corev1.Pod)) {
	s.t.Helper()
	const limit = 100 * time.Second
	var mu sync.Mutex
	each(len(pods), func(i int) {
		err := s.bind(pods[i], n)
		for began := time.Now(); err != nil && time.Since(began) < limit; err = s.bind(pods[i], n) {
			time.Sleep(lastPause)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			s.t.Errorf("%s was not bound within %s: %v", pods[i].Name, limit, err)
			return
		}
		bound(pods[i])
	})
}

// fullOrBound is right for a node whose slots are full: it takes a pod only where the
// pod's address is on its interface.
func (s *system) fullOrBound(p *corev1.Pod, n node, lost netip.Addr) error {
	if s.remaining(n) == 0 {
		return nil
	}
	if err := s.bind(p, n); err != nil {
		return err
	}
	if a := s.address(p); a == lost || !s.eniHas(n, a) {
		s.t.Errorf("I10: %s got %s, which is not on the interface", p.Name, a)
	}
	return nil
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// podEvent says what is wrong where a pod has no event with a reason and with a note
// that contains a text.
func (s *system) podEvent(p *corev1.Pod, reason, text string) error {
	list, err := shared.Client.EventsV1().Events(p.Namespace).List(s.t.Context(), metav1.ListOptions{
		FieldSelector: "regarding.name=" + p.Name,
	})
	if err != nil {
		return err
	}
	var all []string
	for _, e := range list.Items {
		if e.Reason == reason && strings.Contains(e.Note, text) {
			return nil
		}
		all = append(all, e.Reason+": "+e.Note)
	}
	return fmt.Errorf("it has %q", all)
}
