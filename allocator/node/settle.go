package node

import (
	"context"
	"net/netip"
	"time"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

// result is what EC2 has answered.
type result struct {
	blocks []netip.Prefix // that it has assigned
	err    error
}

// execute makes a call.
func (w *worker) execute(ctx context.Context, c ledger.Call) result {
	// A leader that stops lets its call finish, so that its answer is not lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	ec2, eni := w.shared.EC2, w.core.eni
	switch {
	case !c.Assign():
		return result{err: ec2.Unassign(ctx, eni, c.Blocks)}
	case c.Names != nil:
		blocks, err := ec2.AssignNamed(ctx, eni, c.Names)
		return result{blocks, err}
	default:
		blocks, err := ec2.Assign(ctx, eni, c.Kind, c.Count)
		return result{blocks, err}
	}
}

// settle enters what became of a call into the ledger and the budget.
func (w *worker) settle(ctx context.Context, c ledger.Call, r result) {
	class := cloud.Classify(r.err)
	var lost []netip.Prefix
	var drift ledger.Drift
	w.core.update(func(s *state, now time.Time) {
		noteStall(s.stalls.of(c.Assign()), c.Names != nil, class, r.err, now)
		s.restores.asked(c.Names, now)
		switch {
		case class == cloud.Lost:
			s.ledger.Lost(now)
		case class != cloud.None:
			s.ledger.Failed()
			if class == cloud.NoRoom && c.Names == nil {
				s.budget.Lacks(c.Kind, true) // first: what this call had claimed is no room for others
			}
			s.claims.release(s.budget)
		case c.Assign():
			drift = s.ledger.Assigned(r.blocks, now)
			s.forsake(drift.Stranded, now)
			s.budget.Drifted(s.eni, drift) // first: what EC2 gave may lie in what has vanished
			s.claims.took(s.budget, s.eni, c.Names != nil, r.blocks)
			s.lodge(r.blocks, now)
			lost = unrestorable(s.ledger, s.budget, s.ledger.Adrift())
		default:
			s.ledger.Unassigned(now)
			s.budget.Gave(c.Blocks)
		}
	})
	w.eni.tellLost(lost)
	if !drift.None() {
		w.core.doubtNow() // more may have changed
		w.eni.reportDrift(drift)
	}
	if r.err != nil {
		w.handleError(ctx, c, class, r.err)
	}
}

// noteStall notes whether EC2 does what it is asked.
func noteStall(x *stall, named bool, class cloud.Class, err error, now time.Time) {
	if named && cloud.OfNames(err) {
		x.sent = time.Time{}
		return
	}
	x.end(class, err, now)
}

// handleError does what an error asks for beyond the ledger and the budget.
func (w *worker) handleError(ctx context.Context, c ledger.Call, class cloud.Class, err error) {
	n := w.core
	w.shared.Log.Info("EC2 call failed", "node", n.node.Name(), "eni", n.eni, "purpose", c.Purpose.String(), "class", class.String(), "error", err.Error())
	switch class {
	case cloud.OutOfStep:
		n.doubtNow()
		w.lookNow()
	case cloud.Lost:
		w.lookNow()
	default: // the interface is as the ledger has it
	}
	switch {
	case class == cloud.RetryLater, class == cloud.Lost: // it is tried again, or looked up, by the next steps
	case class == cloud.Gone:
		w.shared.Listener.Gone(n.node, "EC2 no longer knows its network interface")
	case c.Names != nil:
		w.eni.tellLost(c.Names)
	case class == cloud.NoRoom:
		w.denied(ctx, c.Kind)
	case class == cloud.Refused && !c.Assign(): // a refused assign is told of with the capacity that it costs
		refused(n.node.Name(), err.Error()).report(w.shared.Events)
	}
}

// lacks notes that the map of the subnet has nothing for what the node wants.
func (w *worker) lacks() {
	n := w.core
	kind := n.summary.Load().Mode
	if n.budget.Lacks(kind, false) {
		w.shared.Subnets.LookSoon(n.budget)
	}
	n.budget.Notify()
	w.tellShort(kind)
}

// denied does what is left to do after EC2 has refused what the map of the subnet had
// promised: what the subnet does have serves as many binds as it can, and the others are
// turned away.
func (w *worker) denied(ctx context.Context, k ledger.Kind) {
	n := w.core
	w.shared.Subnets.Look(ctx, n.budget)
	w.shared.Subnets.Wake() // there is a pause now, after which to look again
	n.update(func(s *state, now time.Time) {
		s.claims.giveUp(s.budget) // it was claimed of what is not there
		s.dismissUnfit(s.want(w.shared.Settings(), s.ledger.Counts()), now)
	})
	w.tellShort(k)
}

// tellShort tells of a shortage on the node, once.
func (w *worker) tellShort(k ledger.Kind) {
	if !w.short {
		w.short = true
		noRoom(w.core.node.Name(), w.core.budget.ID, k).report(w.shared.Events)
	}
}
