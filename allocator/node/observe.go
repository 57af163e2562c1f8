package node

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/pods"
)

// Observe takes in a live pod that is bound to one of the instance's Nodes.
func (n *Node) Observe(p pods.Pod) (was pods.Home, sharing types.UID) {
	n.core.update(func(s *state, now time.Time) {
		was, sharing = s.pods.Place(p, now)
		s.waiters.answer(p.UID, outcome{err: pods.ErrOvertaken})
		switch {
		case p.OnHost:
		case p.Address.IsValid():
			hold(s, p, now)
		case s.policy.Counts(p.Wants):
			await(s, p, now)
		}
	})
	return was, sharing
}

// hold takes in the address that a pod has.
func hold(s *state, p pods.Pod, now time.Time) {
	g := ledger.Grant{Pod: p.UID, Address: p.Address, Kind: p.Kind}
	if drift := s.policy.Hold(s.ledger, g, s.phase.read(), now); !drift.None() {
		s.budget.Drifted(s.eni, drift)
	}
}

// await takes in a pod that needs an address. Where it was given one in a bind that
// another scheduler was quicker than, it gets that.
func await(s *state, p pods.Pod, now time.Time) {
	s.ledger.Wait(p.UID)
	if a, _ := s.ledger.Holder(p.UID); a.IsValid() {
		s.deliver(ledger.Grant{Pod: p.UID, Address: a, Kind: s.ledger.KindAt(a)}, now)
	}
}

// Ended takes in that a pod has ended, though something of it may run for that much
// longer.
func (n *Node) Ended(pod types.UID, longer time.Duration) {
	n.core.update(func(s *state, now time.Time) {
		p, bound := s.pods.Remove(pod, now)
		s.waiters.answer(pod, outcome{err: pods.ErrOvertaken})
		a, _ := s.ledger.Holder(pod)
		s.ledger.EndSlowly(pod, now, longer)
		s.totals.outlive(p, bound && a.IsValid(), now.Add(longer+ledger.Cooldown))
	})
}
