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
// the pod has the address that its node's ledger says, and no other pod has it.
func TestI7LostBindings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		carry carrier
		late  time.Duration // instead of carry: it is carried out so much later
		blind bool          // the API server cannot be asked what became of it
		bound bool          // the bind knows that it was carried out
		then  func(h *harness, p *corev1.Pod, here, there node)
	}{
		"carried out": {
			carry: lostAfter, bound: true,
			then: func(*harness, *corev1.Pod, node, node) {},
		},
		"carried out, cannot be asked, tried on another node": {
			carry: lostAfter, blind: true,
			then: func(h *harness, p *corev1.Pod, _, there node) {
				_ = h.bind(p, there) // fails: the pod is on the first one after all
				h.await("the pod is bound", func() error { return h.isBound(p) })
			},
		},
		"not carried out, tried again": {
			carry: lostBefore,
			then: func(h *harness, p *corev1.Pod, here, _ node) {
				h.await("the pod is bound", func() error { return h.bind(p, here) })
			},
		},
		"carried out when all have given up": {
			late: 8 * time.Second,
			then: func(h *harness, p *corev1.Pod, _, _ node) {
				h.await("the pod is bound", func() error { return h.isBound(p) })
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, prefixMode)
			here, there := h.node(threeSlots), h.node(threeSlots)
			p := h.pods(1)[0]
			carry, done := c.carry, make(chan struct{})
			if c.late > 0 {
				carry = late(c.late, func() { close(done) })
			} else {
				close(done)
			}
			h.wire.inject(about("/pods/"+p.Name+"/binding"), first(carry))
			know := func() {}
			if c.blind {
				know = h.wire.inject(about("/pods/"+p.Name), unsent)
			}
			if err := h.bind(p, here); (err == nil) != c.bound {
				t.Errorf("the bind ended with %v, want it bound: %t", err, c.bound)
			}
			know()
			h.bound(16, here) // the address in doubt is given to none of them
			c.then(h, p, here, there)
			h.awaitClosed(done, "the request has been carried out")
			h.awaitAgreement(here)
			h.awaitAgreement(there)
			h.placed(p, here, there)
		})
	}
}

// isBound says what is wrong where a pod is not bound with an address.
func (h *harness) isBound(p *corev1.Pod) error {
	if a := h.address(p); p.Spec.NodeName == "" || !a.IsValid() {
		return fmt.Errorf("it is on node %q with address %s", p.Spec.NodeName, a)
	}
	return nil
}

// placed checks that a pod, if it is bound, has an address of its node's interface.
func (h *harness) placed(p *corev1.Pod, nodes ...node) {
	h.t.Helper()
	err := shared.Kube.Get(h.t.Context(), client.ObjectKeyFromObject(p), p)
	if client.IgnoreNotFound(err) != nil {
		h.t.Error(err)
	}
	if err != nil || p.Spec.NodeName == "" {
		return
	}
	a := h.address(p)
	i := slices.IndexFunc(nodes, func(n node) bool { return n.name == p.Spec.NodeName })
	if i < 0 || !slices.ContainsFunc(h.eni(nodes[i]).Prefixes, func(b netip.Prefix) bool { return b.Contains(a) }) {
		h.t.Errorf("I4: the pod is on node %q with the address %s, which is not on its interface", p.Spec.NodeName, a)
	}
}
