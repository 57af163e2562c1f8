package allocator

import (
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

// Mode observe stands beside another allocator, AWS's managed controller, which
// takes slots and gives addresses to pods after they have been bound. Nothing is
// asked of EC2 but to describe, no pod is given an address, and what is advertised is
// a resource of Slotwise's own (vpc.TrueResource), beside the other's. The ledger
// follows what the other does; filter and bind count by it. A pod that is bound, or
// being bound, waits in the ledger until its annotation shows which address the other
// has given it.
//
// Within one mode nothing that the other does between two looks takes capacity
// away unseen: it only fills empty slots with blocks of the mode's kind, which
// count the same, and what pods get of them their annotations reveal at once.
// After a switch of mode it may for a moment go on in the old one, so nothing
// is promised until EC2 has been seen after that moment.

// observing says that the mode is observe.
func (a *Allocator) observing() bool { return a.observe > 0 }

// adapt is how long after a switch of mode the other allocator may go on in the
// old one: until it has seen the switch, and had the answers to its calls.
const adapt = 5 * time.Second

// switched notes that the mode that users want has changed, or may have changed
// a moment ago. Pods that are turned away until that is certain are woken after.
func (a *Allocator) switched() {
	if !a.observing() {
		return
	}
	now := time.Now()
	a.modeSince.Store(&now)
	a.advertiser.renew()
	a.subnets.wake()
}

// certain is the time from which on a describe, which may lag, shows nothing any
// more that is about to change in the old mode.
func (a *Allocator) certain() time.Time {
	if since := a.modeSince.Load(); since != nil {
		return since.Add(adapt + ledger.Settle)
	}
	return time.Time{}
}

// nextRound is when a subnet is to be described again, that lacks nothing and was
// described last at the given time.
func (s *subnets) nextRound(last time.Time) time.Time {
	if !s.a.observing() {
		return last.Add(lookInterval)
	}
	next := last.Add(s.a.observe)
	if certain := s.a.certain(); last.Before(certain) {
		return earlier(next, certain)
	}
	return next
}

// seen takes up what a description of a whole subnet shows of the node's interface:
// so one call serves all nodes.
func (n *node) seen(b *budget, shown cloud.Subnet) {
	n.mu.Lock()
	here := n.known && n.budget == b
	blocks, there := shown.Interfaces[n.eni]
	if n.doubted = false; here && !there {
		n.doubt()
	}
	n.mu.Unlock()
	switch {
	case here && there:
		n.follow(blocks, shown.AsOf)
	case here:
		n.poke() // its worker looks more closely
	}
}

// follow enters what a describe has shown of the other allocator's work. Changes
// are no surprise, unless they take an address from under a pod.
func (n *node) follow(blocks []netip.Prefix, asOf time.Time) {
	var drift ledger.Drift
	n.update(func(l *ledger.Ledger, now time.Time) {
		n.doubted = false
		drift = l.Follow(blocks, asOf, now)
		n.ready = n.known && (n.ready || !asOf.Before(n.a.certain()))
	})
	if len(drift.Stranded) > 0 {
		n.a.events.drift(n.name(), drift)
	}
}

// toCome is how many blocks the waiting pods need. In mode observe it is what
// the other allocator is about to take from the subnet, for its warm pool too.
func (n *node) toCome(c ledger.Counts) int {
	if n.a.observing() {
		return max(c.Need(), n.a.targets().Want(c)-c.Blocks())
	}
	return c.Need()
}

// hold takes up the address that a pod has; whoever calls it holds the lock. What
// the first describe is yet to show, the pod need not.
func (n *node) hold(uid types.UID, p pod, now time.Time) {
	if !n.a.observing() || !n.known {
		n.ledger.Hold(uid, p.address, p.kind, now)
		return
	}
	if drift := n.ledger.Reveal(uid, p.address, p.kind, now); !drift.None() {
		n.budget.drifted(drift)
	}
}
