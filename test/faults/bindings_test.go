package faults

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestI7LostBindings loses the answer of the request that binds a pod, or the
// request itself, or keeps it on its way for a while. The pod may then be bound,
// not bound, or bound later. Whichever it is, and whatever is done next, in the end
// the pod has the address that its node's ledger says, and none is lost.
func TestI7LostBindings(t *testing.T) {
	t.Parallel()
	lost := map[string]struct {
		carry carrier
		late  time.Duration // instead of carry: it is carried out so much later
		blind bool          // the API server cannot be asked what became of it
		bound bool          // the bind knows that it was carried out
	}{
		"carried out":                        {carry: lostAfter, bound: true},
		"carried out, cannot be asked":       {carry: lostAfter, blind: true},
		"not carried out":                    {carry: lostBefore},
		"not carried out, cannot be asked":   {carry: lostBefore, blind: true},
		"carried out soon":                   {late: time.Second},
		"carried out when all have given up": {late: 8 * time.Second},
	}
	next := map[string]func(s *system, p *corev1.Pod, here, there node){
		"left alone": func(*system, *corev1.Pod, node, node) {},
		"tried again": func(s *system, p *corev1.Pod, here, _ node) {
			s.await("the pod is bound", func() error { return s.bind(p, here) })
		},
		"tried on another node": func(s *system, p *corev1.Pod, _, there node) {
			_ = s.bind(p, there) // fails where the pod is on the first one after all
			s.await("the pod is bound", func() error { return s.isBound(p) })
		},
		"deleted": func(s *system, p *corev1.Pod, _, _ node) { s.delete(p) },
	}
	for name, c := range lost {
		for then, do := range next {
			t.Run(name+", "+then, func(t *testing.T) {
				t.Parallel()
				s := start(t, prefixMode)
				here, there := s.node(threeSlots), s.node(threeSlots)
				p := s.pods(1)[0]
				carry, done := c.carry, make(chan struct{})
				if c.late > 0 {
					carry = late(c.late, func() { close(done) })
				} else {
					close(done)
				}
				s.wire.inject(about("/pods/"+p.Name+"/binding"), first(carry))
				know := func() {}
				if c.blind {
					know = s.wire.inject(about("/pods/"+p.Name), unsent)
				}
				if err := s.bind(p, here); (err == nil) != c.bound {
					t.Errorf("the bind ended with %v, want it bound: %t", err, c.bound)
				}
				know()
				s.bound(16, here) // the address in doubt is given to none of them
				do(s, p, here, there)
				s.awaitClosed(done, "the request has been carried out")
				s.awaitAllRemaining(here, there)
				s.placed(p, here, there)
			})
		}
	}
}

// TestI1OldAnswers has the API server say that a pod is not bound, and holds what it
// said up until the pod is bound after all. The watch does not show that yet: the
// address must not be given to another pod.
func TestI1OldAnswers(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(threeSlots)
	p := s.pods(1)[0]
	flow := s.wire.stallWatches()
	s.wire.inject(about("/pods/"+p.Name+"/binding"), first(unsent))
	asked, tell := make(chan struct{}), make(chan struct{})
	s.wire.inject(about("/pods/"+p.Name), first(heldUp(asked, tell)))

	refused := make(chan error, 1)
	go func() { refused <- s.bind(p, n) }()
	s.awaitClosed(asked, "the API server is asked what became of the pod")
	s.must(s.bind(p, n))
	close(tell)
	if err := <-refused; err == nil {
		t.Error("a request that was never sent bound the pod")
	}
	holders := map[netip.Addr]string{s.address(p): p.Name}
	for _, q := range s.bound(31, n) {
		if holder := holders[s.address(q)]; holder != "" {
			t.Errorf("I1: %s has the address of %s", q.Name, holder)
		}
	}
	flow()
	s.awaitAgreement(n)
}

// awaitAllRemaining waits until the addresses that nodes can give, and those that
// their pods hold, are all that their slots can have.
func (s *system) awaitAllRemaining(nodes ...node) {
	s.t.Helper()
	for _, n := range nodes {
		s.await("no address of "+n.name+" is lost", func() error {
			if live, left := s.live(n), s.remaining(n); live+left != 3*16 {
				return fmt.Errorf("%d pods live, %d addresses remain, want %d in all", live, left, 3*16)
			}
			return nil
		})
		s.awaitAgreement(n)
	}
}

// isBound says what is wrong where a pod is not bound with an address.
func (s *system) isBound(p *corev1.Pod) error {
	if a := s.address(p); p.Spec.NodeName == "" || !a.IsValid() {
		return fmt.Errorf("it is on node %q with address %s", p.Spec.NodeName, a)
	}
	return nil
}

// placed checks that a pod, if it is bound, has an address of its node's interface.
func (s *system) placed(p *corev1.Pod, nodes ...node) {
	s.t.Helper()
	err := shared.Kube.Get(s.t.Context(), client.ObjectKeyFromObject(p), p)
	if client.IgnoreNotFound(err) != nil {
		s.t.Error(err)
	}
	if err != nil || p.Spec.NodeName == "" {
		return
	}
	a := s.address(p)
	i := slices.IndexFunc(nodes, func(n node) bool { return n.name == p.Spec.NodeName })
	if i < 0 || !slices.ContainsFunc(s.eni(nodes[i]).Prefixes, func(b netip.Prefix) bool { return b.Contains(a) }) {
		s.t.Errorf("I4: the pod is on node %q with the address %s, which is not on its interface", p.Spec.NodeName, a)
	}
}
