package node

import (
	"sync"
	"sync/atomic"
	"time"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/cloud"
)

// core is what all sides of a node work with: its state and the lock that guards it.
type core struct {
	node    *Node
	shared  *Shared
	wake    chan struct{}
	summary atomic.Pointer[capacity.Node] // what the node can do, as of its last change
	urgency cloud.Urgency                 // of the call that the worker waits to be admitted for

	mu sync.Mutex
	state
}

// update changes the node under its lock, and takes in all that follows from it.
func (c *core) update(f func(s *state, now time.Time)) {
	leads, now := c.shared.Gate.Leads(), time.Now()
	c.mu.Lock()
	s := &c.state
	s.ledger.Advance(now)
	s.totals.aftermath = s.totals.aftermath.rest(now)
	f(s, now)
	want := s.want(c.shared.Settings(), s.ledger.Counts())
	if leads && s.phase == ready && c.shared.gives() {
		s.serveWaiting(now)
	}
	if s.limit(now) == 0 {
		s.dismissUnfit(want, now)
	}
	s.settleClaims(want, now)
	c.publishLocked(now)
	told, b := s.news, s.budget
	s.news = news{}
	c.mu.Unlock()
	c.tell(told)
	if b != nil {
		b.Notify()
	}
	c.wakeWorker()
}

// publishLocked shows what the node can do to those who read it without its lock. Caller
// holds c.mu.
func (c *core) publishLocked(now time.Time) {
	s := &c.state
	next := s.capacity(now)
	last := c.summary.Swap(next)
	if came := next.InUse + next.Waiting - last.InUse - last.Waiting; came != 0 || next.Cooling != last.Cooling {
		c.shared.Arrivals.note(now, came)
		if s.dirtySince.IsZero() {
			s.dirtySince = now
		}
	}
	if !next.Ready {
		return
	}
	if s.admitting {
		c.urgency.Set(s.purpose(c.shared.Settings(), now))
	}
	if next.Limit == 0 && last.Limit > 0 {
		s.tell(refused(c.node.Name(), s.stalls.assign.explain()))
	}
	if c.shared.podsRead() {
		if n, news := s.totals.maxPods(next.Counts); news {
			s.tell(n)
		}
		available := s.budget.Available(next.Mode)
		s.news.changed, s.news.grew = true, next.Remaining(available) > last.Remaining(available)
	}
}

// tell tells others what has come up under the lock.
func (c *core) tell(x news) {
	for _, a := range x.owed {
		c.shared.Annotations.Add(a)
	}
	for _, n := range x.notices {
		n.report(c.shared.Events)
	}
	if x.changed {
		c.shared.Listener.Changed(c.node, x.grew)
	}
}

// doubtNow has the interface described before it is changed.
func (c *core) doubtNow() {
	c.mu.Lock()
	c.doubt(time.Now())
	c.mu.Unlock()
	c.wakeWorker()
}

// wakeWorker has the worker look whether something is to be done.
func (c *core) wakeWorker() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
