package node

import (
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/annotate"
	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/ledger"
)

// take gives a pod a free address, if there is one and it is ours to give.
func (s *state) take(pod types.UID, now time.Time) (ledger.Grant, bool) {
	if !s.policy.Gives() {
		return ledger.Grant{}, false
	}
	for {
		g, ok := s.ledger.Take(pod)
		if !ok || !s.contested(g, now) {
			return g, ok
		}
	}
}

// serveWaiting gives free addresses to the pods that wait. A pod that draws an address
// which is contested draws again.
func (s *state) serveWaiting(now time.Time) {
	for grants := s.ledger.Serve(); len(grants) > 0; grants = s.ledger.Serve() {
		for _, g := range grants {
			if s.contested(g, now) {
				s.ledger.Wait(g.Pod)
			} else {
				s.deliver(g, now)
			}
		}
	}
}

// contested takes back an address that a live pod elsewhere has, and rests it.
func (s *state) contested(g ledger.Grant, now time.Time) bool {
	if !s.pods.HeldElsewhere(g.Address, g.Pod, now) {
		return false
	}
	s.ledger.Cancel(g.Pod, now)
	s.ledger.Quarantine(g.Address, now)
	return true
}

// deliver hands an address to the bind that waits for it, or has the pod annotated where
// somebody else has bound it.
func (s *state) deliver(g ledger.Grant, now time.Time) {
	s.lastGrant = now
	if s.waiters.answer(g.Pod, outcome{grant: g}) {
		return
	}
	if p, bound := s.pods.Get(g.Pod); bound {
		s.news.owed = append(s.news.owed, annotate.Annotation{
			Pod: p.Key, UID: g.Pod, Node: s.totals.id.Name(), Address: format(g, s.budget.Bits),
		})
	}
}

// format is the annotation's value: an address out of a prefix is a /32, a secondary IP
// has the subnet's mask, which is that long. No address has none.
func format(g ledger.Grant, mask int) netip.Prefix {
	switch {
	case !g.Address.IsValid():
		return netip.Prefix{}
	case g.Kind == ledger.Prefix:
		return netip.PrefixFrom(g.Address, 32)
	}
	return netip.PrefixFrom(g.Address, mask)
}

// lack says why one of the pods that wait cannot be served, if so.
func (s *state) lack(now time.Time) error {
	c := s.capacity(now)
	why := &capacity.Error{Reason: c.Lack(s.budget.Available(c.Mode))}
	if why.Reason == capacity.Fits {
		return nil
	}
	if why.Reason == capacity.Refused {
		why.Detail = s.stalls.assign.detail()
	}
	return why
}

// dismissUnfit turns away the binds that can no longer be served, the latest first, so
// that their pods go to other nodes.
func (s *state) dismissUnfit(want int, now time.Time) {
	for len(s.waiters.binds) > 0 {
		s.settleClaims(want, now)
		why := s.lack(now)
		if why == nil {
			return
		}
		pod, _ := s.waiters.last()
		s.waiters.dismiss(pod, why, now)
	}
}
