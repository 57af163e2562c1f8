package allocator

import (
	"context"
	"net/netip"
	"time"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

const (
	callTimeout = time.Minute // of one EC2 call; a shorter one only makes more lost answers
	resync      = time.Hour   // between describes of an ENI that nobody doubts; see node.compare
	retry       = time.Second // before the worker looks again whether it may act
)

// worker makes the EC2 calls of one node, one after the other.
type worker struct {
	*node
	short     bool          // the subnet lacks what the node wants, and the node was told so
	described time.Time     // when it was described last
	pause     time.Duration // before it is described again while it is in doubt
}

// run waits for something to do and does it, until ctx ends.
func (w *worker) run(ctx context.Context) {
	defer w.leave()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.poked:
		case <-timer.C:
		}
		if at := w.step(ctx); !at.IsZero() {
			timer.Reset(time.Until(at))
		}
	}
}

// leave gives back what was set aside for a call whose outcome is still in doubt.
func (w *worker) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.release()
}

// step makes at most one call, and says when to come back unless poked before.
// After a call that is at once, for the next plan.
func (w *worker) step(ctx context.Context) time.Time {
	if err := w.readPods(ctx); err != nil {
		w.a.log.Info("a node that has joined another is not read yet", "node", w.name(), "error", err.Error())
		return time.Now().Add(retry)
	}
	now := time.Now()
	if at := w.lookDue(); !now.Before(at) {
		w.look(ctx)
		return time.Now().Add(retry)
	}
	call, next := w.plan(now)
	if call.Count == 0 && call.Blocks == nil {
		return next
	}
	if err := w.a.cloud.Admit(ctx, action(call), w.urgency); err != nil {
		return time.Time{} // ctx has ended
	}
	if !call.Assign() {
		// A restart must not trust in free addresses of a block that is gone.
		if err := w.a.recorder.open(ctx, w.node); err != nil {
			w.a.log.Info("release put off", "node", w.name(), "error", err.Error())
			return time.Now().Add(retry)
		}
	}
	if call, ok := w.begin(action(call)); ok {
		w.settle(ctx, call, w.execute(ctx, call))
	}
	return time.Now()
}

func action(c ledger.Call) cloud.Action {
	if c.Assign() {
		return cloud.Assign
	}
	return cloud.Unassign
}

// lookDue is when the ENI is to be described next.
func (w *worker) lookDue() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.doubted || w.ledger.InDoubt() {
		return w.described.Add(max(w.pause, lookPause.first))
	}
	return w.described.Add(resync)
}

// plan says which call to make now, if any, and else when something may be to
// do without anybody poking: a pause is over.
func (w *worker) plan(now time.Time) (ledger.Call, time.Time) {
	next := w.lookDue()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ready || w.doubted || !w.a.active() {
		return ledger.Call{}, earlier(next, now.Add(retry))
	}
	call, ok := w.planned()
	if !ok {
		w.stirred = time.Time{}
		w.noticeShortage()
		return ledger.Call{}, next
	}
	due := w.stall(call).until
	if calm := w.a.pace.calm(w.stirred); call.Purpose > ledger.Waiting && calm.After(due) {
		due = calm
	}
	if now.Before(due) {
		if due.Before(next) {
			next = due
		}
		return ledger.Call{}, next
	}
	return call, time.Time{}
}

// stall is that of the action that a call is. Caller holds n.mu.
func (n *node) stall(c ledger.Call) *stall {
	if c.Assign() {
		return &n.stalls[assigning]
	}
	return &n.stalls[unassigning]
}

// planned is what the ledger would do next with what the subnet can give. A call
// for waiting pods takes more than they need while many come. Where EC2 did not do
// what it was asked, one block is asked for, to see whether it does now.
func (w *worker) planned() (ledger.Call, bool) {
	now := time.Now()
	if call, ok := w.ledger.PlanRestore(w.restorable(now)); ok {
		return call, true
	}
	c := w.ledger.Counts()
	available := min(w.budget.available(c.Mode), max(1, w.stalls[assigning].limit(now)))
	want := w.usableBlocks(w.a.targets().Want(c), c)
	if c.Need() > 0 && !w.ledger.InFlight() { // with a call in flight there is no other to be planned
		want += w.a.ahead(c.Mode, available)
	}
	return w.ledger.Plan(want, w.own.count+available)
}

// noticeShortage notes when the node would take blocks that the subnet has not.
func (w *worker) noticeShortage() {
	c := w.ledger.Counts()
	if c.Open > 0 && w.usableBlocks(w.a.targets().Want(c), c) > c.Blocks() && w.budget.available(c.Mode)+w.own.count == 0 {
		w.lacks(c.Mode)
	} else {
		w.short = false
	}
}

// urgency is what the worker would use its turn for at this moment.
func (w *worker) urgency() ledger.Purpose {
	w.mu.Lock()
	defer w.mu.Unlock()
	if call, ok := w.planned(); ok {
		return call.Purpose
	}
	return ledger.Release
}

// begin plans once more, with all that came up while the worker waited for its
// turn, and sets aside what the call will take. A plan that now needs another
// action gives the turn up, and so does one whose ground has come into doubt, or
// for which the list of free addresses would have to be taken back once more. No
// block is given back in which a live pod anywhere has an address (I5), whatever this
// node has been told of it.
func (w *worker) begin(turn cloud.Action) (ledger.Call, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	call, ok := w.planned()
	if !ok || !w.ready || w.doubted || !w.a.active() || action(call) != turn {
		return ledger.Call{}, false
	}
	if !call.Assign() && (w.record.promised.Load() || w.lodge(call.Blocks)) {
		return ledger.Call{}, false
	}
	if call.Assign() && call.Names == nil {
		owned := min(call.Count, w.own.count)
		call.Count = owned + w.budget.claim(call.Kind, call.Count-owned)
		if call.Count == 0 {
			return ledger.Call{}, false
		}
		w.own.count -= owned
		w.inFlight = claim{call.Kind, call.Count}
	}
	w.ledger.Begin(call)
	w.stall(call).begin(time.Now())
	w.stirred = time.Time{}
	return call, true
}

// lodge has the ledger hold what live pods have out of these blocks that it does not
// know to be its own: those of a Node without the label of Windows, or that has gone.
// It says whether there are such. Caller holds n.mu.
func (n *node) lodge(blocks []netip.Prefix) (found bool) {
	for _, b := range blocks {
		for _, g := range n.a.pods.lodge(b, n) {
			if _, known := n.ledger.Holder(g.Pod); !known {
				n.ledger.Hold(g.Pod, g.Address, g.Kind, time.Now())
				found = true
			}
		}
	}
	return found
}

// execute makes the call. The blocks are those that EC2 has assigned.
func (w *worker) execute(ctx context.Context, c ledger.Call) result {
	// A leader that stops lets its call finish, so that its answer is not lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if !c.Assign() {
		return result{err: w.a.cloud.Unassign(ctx, w.eni, c.Blocks)}
	}
	if c.Names != nil {
		blocks, err := w.a.cloud.AssignNamed(ctx, w.eni, c.Names)
		return result{blocks, err}
	}
	blocks, err := w.a.cloud.Assign(ctx, w.eni, c.Kind, c.Count)
	return result{blocks, err}
}

type result struct {
	blocks []netip.Prefix
	err    error
}

// settle enters the outcome of a call into the ledger and the budget.
func (w *worker) settle(ctx context.Context, c ledger.Call, r result) {
	class := cloud.Classify(r.err)
	w.update(func(l *ledger.Ledger, now time.Time) {
		w.outcome(c, class, r.err, now)
		switch {
		case class == cloud.Lost:
			l.Lost(now)
			w.described, w.pause = time.Time{}, 0
		case c.Names != nil && class != cloud.None:
			l.Failed()
			w.release()
		case class == cloud.NoRoom:
			l.Failed()
			w.budget.lacks(c.Kind, true) // first: what this call had claimed is no room for others
			w.release()
		case class != cloud.None:
			l.Failed()
			w.release()
		case c.Assign():
			l.Assigned(r.blocks, now)
			w.budget.took(c.Kind, w.inFlight.count, r.blocks)
			w.inFlight = claim{}
		default:
			l.Unassigned(now)
			w.budget.gave(c.Blocks)
		}
	})
	w.redress(ctx, c, class, r.err)
}

// outcome notes whether EC2 does what it is asked: whether it does what is asked of
// it by name says little about the rest. Caller holds n.mu.
func (w *worker) outcome(c ledger.Call, class cloud.Class, err error, now time.Time) {
	if c.Names == nil || class == cloud.None {
		w.stall(c).end(class, err, now)
	} else {
		w.stall(c).sent = time.Time{}
	}
	for _, b := range c.Names {
		w.restores[b] = w.restores[b].asked(now)
	}
}

// release gives back what was set aside for a call that was not done.
func (w *worker) release() {
	w.budget.unclaim(w.inFlight.kind, w.inFlight.count)
	w.inFlight = claim{}
}

// redress does what an error asks for beyond the books.
func (w *worker) redress(ctx context.Context, c ledger.Call, class cloud.Class, err error) {
	if err == nil {
		return
	}
	w.a.log.Info("EC2 call failed", "node", w.name(), "eni", w.eni, "purpose", c.Purpose.String(), "class", class.String(), "error", err.Error())
	if class == cloud.OutOfStep {
		w.mu.Lock()
		w.doubt()
		w.mu.Unlock()
		w.described, w.pause = time.Time{}, 0
	}
	switch {
	case class == cloud.RetryLater, class == cloud.Lost: // it is tried again, or looked up, by the next steps
	case class == cloud.Gone:
		w.a.forget(w.node, "EC2 no longer knows its network interface")
	case c.Names != nil:
		w.tellLost(c.Names)
	case class == cloud.NoRoom:
		w.denied(ctx, c.Kind)
	case class == cloud.Refused && !c.Assign(): // of assigning publish tells
		w.a.events.refused(w.name(), err)
	}
}

// lacks notes that the chart of the subnet has nothing for what the node wants.
func (w *worker) lacks(k ledger.Kind) {
	if w.budget.lacks(k, false) {
		w.a.lookAtSubnet(w.budget)
	}
	w.tellShort(k)
}

// denied does what is left to do after EC2 has refused what the chart had
// promised: what the subnet does have serves as many binds as it can, and the
// others are turned away.
func (w *worker) denied(ctx context.Context, k ledger.Kind) {
	w.a.subnets.look(ctx, w.budget)
	w.a.subnets.wake() // there is a pause now, after which to look again
	w.update(func(*ledger.Ledger, time.Time) {
		w.budget.unclaim(w.own.kind, w.own.count) // it was claimed of what is not there
		w.own.count = 0
		w.refuseUnfit()
	})
	w.tellShort(k)
}

// tellShort tells of a shortage on the node, once.
func (w *worker) tellShort(k ledger.Kind) {
	if !w.short {
		w.short = true
		w.a.events.noRoom(w.name(), w.budget.id, k)
	}
}

// look describes the ENI and brings the ledger to what EC2 has.
func (w *worker) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	i, err := w.a.cloud.Interface(ctx, w.eni)
	w.described = time.Now()
	w.pause = lookPause.after(w.pause)
	if cloud.Classify(err) == cloud.Gone {
		w.a.forget(w.node, "EC2 no longer knows its network interface")
		return
	}
	if err != nil {
		w.a.log.Info("cannot describe the ENI", "node", w.name(), "eni", w.eni, "error", err.Error())
		return
	}
	if i.InstanceID != "" && i.InstanceID != w.instance {
		w.a.forget(w.node, "its network interface is another instance's now")
		return
	}
	w.pause = 0
	if w.a.observing() {
		w.follow(i.Blocks, i.AsOf)
	} else {
		w.sync(i)
	}
}

// settled is when an ENI counts as described for which the next describe is
// due as soon as it cannot lag behind the given time. What a describe shows and
// nobody explains may be old; it cools for longer than that.
func settled(asOf time.Time) time.Time { return asOf.Add(ledger.Settle + time.Second - resync) }

// sync enters what a describe has shown.
func (w *worker) sync(i cloud.Interface) {
	var drift ledger.Drift
	w.update(func(l *ledger.Ledger, now time.Time) {
		w.doubted = false
		doubt := l.InDoubt()
		drift = l.Sync(i.Blocks, i.AsOf, now)
		if doubt && !l.InDoubt() {
			w.release()
		}
		if !drift.None() {
			w.stalls = [2]stall{} // what EC2 refused it may have refused for that
			w.lodge(drift.Appeared)
			w.refuseUnfit()
		}
	})
	if drift.None() {
		return
	}
	w.described = settled(i.AsOf)
	w.a.log.Info("EC2 and the ledger differed", "node", w.name(), "eni", w.eni,
		"appeared", drift.Appeared, "vanished", drift.Vanished, "stranded pods", len(drift.Stranded))
	w.budget.drifted(drift)
	w.a.metrics.drifts.Inc()
	w.a.events.drift(w.name(), drift)
	w.tellLost(w.unrestorable(drift.Vanished))
	w.a.lookAtSubnet(w.budget)
}
