package node

import (
	"context"
	"fmt"
	"time"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

const (
	callTimeout = time.Minute // of one EC2 call; a shorter one only makes more lost answers
	resyncAfter = time.Hour   // between describes of an interface that nobody doubts; see Node.Described
)

// worker makes the EC2 calls of one node, one after the other. Its fields are its
// goroutine's own.
type worker struct {
	core    *core
	shared  *Shared
	binds   *Binds
	eni     *Interface
	short   bool          // the subnet lacks what the node wants, and people were told so
	looked  time.Time     // when the interface was described last
	lookDue time.Time     // when it is to be described whatever the rest says; zero: no such time
	pause   time.Duration // before it is described again while it is in doubt
}

// newWorker makes the worker of a node whose interface was described as of a time.
func newWorker(c *core, b *Binds, i *Interface, asOf time.Time) *worker {
	return &worker{core: c, shared: c.shared, binds: b, eni: i, looked: time.Now(), lookDue: settledAt(asOf)}
}

// settledAt is when a describe that was asked for at a time cannot lag behind that time
// any more. What a describe shows and nobody explains may be old; it cools for longer
// than that.
func settledAt(asOf time.Time) time.Time { return asOf.Add(ledger.Settle + time.Second) }

// run waits for something to do and does it, until ctx ends.
func (w *worker) run(ctx context.Context) {
	defer w.leave()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.core.wake:
		case <-timer.C:
		}
		if at := w.step(ctx); !at.IsZero() {
			timer.Reset(time.Until(at))
		}
	}
}

// leave gives back what was set aside for a call whose outcome is still in doubt.
func (w *worker) leave() {
	c := w.core
	c.mu.Lock()
	c.claims.release(c.budget)
	c.mu.Unlock()
	c.budget.Notify()
}

// step makes at most one call, and says when to come back unless woken before; zero:
// only then. After a call that is at once, for the next decision.
func (w *worker) step(ctx context.Context) time.Time {
	if err := readPods(ctx, w.core.node, w.shared.Watch); err != nil {
		w.shared.Log.Info("a Node that has joined another is not read yet", "node", w.core.node.Name(), "error", err.Error())
		return time.Now().Add(retryAfter)
	}
	switch next := w.decide(); {
	case next.look:
		w.look(ctx)
		return next.next
	case next.makes:
		return w.act(ctx, next.call)
	case next.short:
		w.lacks()
		return next.next
	default:
		w.short = w.short && !next.idle
		return next.next
	}
}

// decide looks at the node and decides.
func (w *worker) decide() step {
	n := w.core
	leads, now := w.shared.Gate.Leads(), time.Now()
	x := w.shared.Settings()
	extra := w.shared.Arrivals.burst(now, n.summary.Load().Mode, w.shared.Free)
	n.mu.Lock()
	defer n.mu.Unlock()
	s := situation{
		now: now, lookAt: w.lookAtLocked(), mayAct: leads && n.phase == ready && w.shared.gives(),
		trusted: n.doubtSince.IsZero(),
	}
	if s.mayAct {
		s.call, s.planned = n.planned(x, extra, now)
		s.stalled, s.settled = n.stalls.of(s.call.Assign()).until, w.shared.Arrivals.settled(n.dirtySince)
		c := n.ledger.Counts()
		s.short = c.Open > 0 && n.want(x, c) > c.Blocks() && n.budget.Available(c.Mode)+n.claims.own.count == 0
	}
	next := decide(s)
	if next.idle {
		n.dirtySince = time.Time{}
	}
	return next
}

// lookAtLocked is when the interface is to be described next. Caller holds the node's
// lock.
func (w *worker) lookAtLocked() time.Time {
	at := w.looked.Add(resyncAfter)
	if !w.core.doubtSince.IsZero() || w.core.ledger.InDoubt() {
		at = w.looked.Add(max(w.pause, lookPause.first))
	}
	if !w.lookDue.IsZero() {
		at = earlier(at, w.lookDue)
	}
	return at
}

// lookNow has the interface described with the next step.
func (w *worker) lookNow() { w.lookDue, w.pause = time.Now(), 0 }

// act waits for the turn to make a call, makes it, and takes in what became of it.
func (w *worker) act(ctx context.Context, call ledger.Call) time.Time {
	if err := w.admit(ctx, call); err != nil {
		return time.Time{} // ctx has ended
	}
	if !call.Assign() {
		// A restart must not trust in free addresses of a block that is gone.
		if err := w.binds.TakeBack(ctx); err != nil {
			w.shared.Log.Info("release put off", "node", w.core.node.Name(), "error", err.Error())
			return time.Now().Add(retryAfter)
		}
	}
	if call, ok := w.begin(action(call)); ok {
		w.settle(ctx, call, w.execute(ctx, call))
	}
	return time.Now()
}

// admit waits for the turn, which goes by what the node would use it for meanwhile.
func (w *worker) admit(ctx context.Context, call ledger.Call) error {
	n := w.core
	n.mu.Lock()
	n.admitting = true
	n.urgency.Set(call.Purpose)
	n.mu.Unlock()
	err := w.shared.EC2.Admit(ctx, action(call), &n.urgency)
	n.mu.Lock()
	n.admitting = false
	n.mu.Unlock()
	return err
}

func action(c ledger.Call) cloud.Action {
	if c.Assign() {
		return cloud.Assign
	}
	return cloud.Unassign
}

// begin plans once more, with all that came up while the worker waited for its turn, and
// sets aside what the call will take. A plan that now needs another action gives the
// turn up, and so does one whose interface has come into doubt, or for which the list of
// free addresses would have to be taken back once more. No block is given back in which
// a live pod anywhere has an address (I5), whatever this node has been told of it.
func (w *worker) begin(turn cloud.Action) (call ledger.Call, ok bool) {
	n := w.core
	leads := w.shared.Gate.Leads()
	extra := w.shared.Arrivals.burst(time.Now(), n.summary.Load().Mode, w.shared.Free)
	n.update(func(s *state, now time.Time) {
		mayAct := leads && s.phase == ready && w.shared.gives() && s.doubtSince.IsZero()
		call, ok = s.planned(w.shared.Settings(), extra, now)
		ok = ok && mayAct && action(call) == turn && w.reserve(s, &call, now)
		if !ok {
			return
		}
		s.ledger.Begin(call)
		s.stalls.of(call.Assign()).begin(now)
		s.dirtySince = time.Time{}
	})
	return call, ok
}

// reserve sets aside what a call will take, as far as the subnet has it, and says whether
// there is anything left to do. Caller holds the node's lock.
func (w *worker) reserve(s *state, call *ledger.Call, now time.Time) bool {
	switch {
	case !call.Assign():
		return !w.binds.slots.Promises() && !s.lodge(call.Blocks, now)
	case call.Names != nil:
		return s.claims.beginNamed(s.budget, call.Kind, call.Count)
	}
	call.Count = s.claims.begin(s.budget, call.Kind, call.Count)
	return call.Count > 0
}

// look describes the interface and brings the ledger to what EC2 has.
func (w *worker) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n := w.core
	shown, err := w.shared.EC2.Interface(ctx, n.eni)
	w.looked, w.lookDue = time.Now(), time.Time{}
	w.pause = lookPause.after(w.pause)
	switch {
	case cloud.Classify(err) == cloud.Gone:
		w.shared.Listener.Gone(n.node, "EC2 no longer knows its network interface")
		return
	case err != nil:
		w.shared.Log.Info("cannot describe the network interface", "node", n.node.Name(), "eni", n.eni, "error", err.Error())
		return
	case shown.InstanceID != "" && shown.InstanceID != n.node.ID.Instance:
		w.shared.Listener.Gone(n.node, fmt.Sprintf("its network interface is instance %s's now", shown.InstanceID))
		return
	}
	w.pause = 0
	if drift := w.eni.sync(shown.Blocks, shown.AsOf); w.shared.Policy.Gives() && !drift.None() {
		w.lookDue = settledAt(shown.AsOf)
	}
}
