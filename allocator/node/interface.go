package node

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"slotwise.dev/slotwise/allocator/budget"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/pods"
)

// Interface is the side of a node that EC2 shows: what others than the worker learn of its
// network interface.
type Interface struct{ core *core }

// Described takes in what a describe of a whole subnet shows of the node's interface: so
// one call serves all nodes, and a change by another client of EC2 is noticed with the
// next look at the subnet. What pods have lost somebody else may have taken by now, before
// it could be taken back: this is where that is found out, after a restart too.
func (i *Interface) Described(b *budget.Budget, shown cloud.Subnet) {
	now := time.Now()
	n := i.core
	n.mu.Lock()
	blocks, there := shown.Interfaces[n.eni]
	follows := false
	var lacked, lost []netip.Prefix
	switch {
	case !n.phase.read() || n.budget != b:
	case !there:
		n.doubt(now)
	case n.policy.Gives():
		switch {
		case n.phase != ready:
		case n.ledger.Compare(blocks, shown.AsOf):
			n.doubt(now)
		default:
			lacked = notAmong(n.ledger.Adrift(), blocks)
			lost = unrestorable(n.ledger, n.budget, lacked)
		}
	default:
		follows = true
	}
	doubted := !n.doubtSince.IsZero()
	n.mu.Unlock()
	switch {
	case follows:
		i.sync(blocks, shown.AsOf)
	case doubted:
		n.wakeWorker() // the worker looks more closely
	case len(lacked) > 0:
		i.tellLost(lost)
		n.wakeWorker() // what was another's, or contested, may be had by now
	}
}

// notAmong are those of the blocks of which the interface has nothing.
func notAmong(blocks, shown []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(blocks, func(p netip.Prefix) bool { return slices.ContainsFunc(shown, p.Overlaps) })
}

// Confirm has EC2 show the interface where addresses cool on it: an address is given
// again only once EC2 has shown it since its pod ended (I10), as another client may have
// taken it meanwhile. Where it differs from the ledger, the worker looks more closely.
func (i *Interface) Confirm(ctx context.Context) {
	n := i.core
	n.mu.Lock()
	eni, unconfirmed := n.eni, n.phase == ready && n.ledger.Unconfirmed(time.Now())
	n.mu.Unlock()
	if !unconfirmed {
		return
	}
	shown, err := n.shared.EC2.Interface(ctx, eni)
	if err != nil {
		n.shared.Log.Info("cannot confirm the addresses that cool", "node", n.node.Name(), "eni", eni, "error", err.Error())
		return
	}
	n.mu.Lock()
	differs := n.phase == ready && n.ledger.Compare(shown.Blocks, shown.AsOf)
	n.mu.Unlock()
	if differs {
		n.doubtNow()
	}
}

// sync brings the ledger to what a describe has shown, and says what had changed without
// the ledger's knowing.
func (i *Interface) sync(blocks []netip.Prefix, asOf time.Time) (drift ledger.Drift) {
	n := i.core
	n.update(func(s *state, now time.Time) {
		if !s.phase.read() {
			return
		}
		s.doubtSince = time.Time{}
		inDoubt := s.ledger.InDoubt()
		drift = s.policy.Sync(s.ledger, blocks, asOf, now)
		if inDoubt && !s.ledger.InDoubt() {
			s.claims.release(s.budget)
		}
		if s.phase != ready {
			s.settle(asOf)
		}
		s.forsake(drift.Stranded, now)
		if s.policy.Gives() && !drift.None() {
			s.stalls = stalls{} // what EC2 refused it may have refused for that
			s.budget.Drifted(s.eni, drift)
			s.lodge(drift.Appeared, now)
			s.dismissUnfit(s.want(n.shared.Settings(), s.ledger.Counts()), now)
		}
	})
	if n.shared.Policy.Gives() {
		i.reportDrift(drift)
	} else if len(drift.Stranded) > 0 {
		drifted(n.node.Name(), drift).report(n.shared.Events)
	}
	return drift
}

// reportDrift tells of what another client of EC2 has changed.
func (i *Interface) reportDrift(d ledger.Drift) {
	if d.None() {
		return
	}
	n := i.core
	n.shared.Log.Info("EC2 and the ledger differed", "node", n.node.Name(), "eni", n.eni,
		"appeared", d.Appeared, "vanished", d.Vanished, "stranded pods", len(d.Stranded))
	n.budget.Notify()
	n.shared.Metrics.Drift()
	drifted(n.node.Name(), d).report(n.shared.Events)
	n.mu.Lock()
	lost := unrestorable(n.ledger, n.budget, d.Vanished)
	n.mu.Unlock()
	i.tellLost(lost)
	n.shared.Subnets.LookSoon(n.budget)
}

// lost lists the pods with an address out of blocks that are not on the interface, each
// once.
func (i *Interface) lost(blocks []netip.Prefix) (lost []pods.Pod) {
	n := i.core
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pods.Pods() {
		within := slices.ContainsFunc(blocks, func(b netip.Prefix) bool { return b.Contains(p.Address) })
		if within && n.ledger.Lacks(p.UID) && n.pods.Tell(p.UID, pods.Lost) {
			lost = append(lost, p)
		}
	}
	return lost
}

// tellLost tells of pods that have lost their address for good, as it seems.
func (i *Interface) tellLost(blocks []netip.Prefix) {
	if len(blocks) == 0 {
		return
	}
	n := i.core
	for _, p := range i.lost(blocks) {
		n.shared.Metrics.Lost()
		addressLost(p).report(n.shared.Events)
		n.shared.Log.Info("a live pod has lost its address", "pod", p.Key, "node", p.Node, "address", p.Address.String())
	}
}
