package allocator

import (
	"errors"
	"fmt"
	"time"

	"slotwise.dev/slotwise/allocator/cloud"
)

// The pauses of what is tried again. Each grows to twice its length with every failure
// up to a limit, and is as short as at first once the cause is gone.
var (
	// An action of EC2 that was throttled, or whose answer was lost.
	unansweredPause = pause{first: 500 * time.Millisecond, last: 30 * time.Second}
	// An action that EC2 refuses on an interface.
	refusedPause = pause{first: 10 * time.Second, last: 5 * time.Minute}
	// A describe of an interface that is in doubt.
	lookPause = pause{first: 2 * time.Second, last: time.Minute}
	// The discovery of a node while EC2 does not answer: that ends for all at once.
	silencePause = pause{first: time.Second, last: 15 * time.Second}
	// The discovery of a node for another reason.
	discoveryPause = pause{first: time.Second, last: 5 * time.Minute}
	// A block of a live pod that another client takes again and again.
	restorePause = pause{first: 2 * time.Second, last: 5 * time.Minute}
)

// pause is how long to wait before something is tried again.
type pause struct{ first, last time.Duration }

// after is the pause that follows another one; zero: there was none yet.
func (p pause) after(before time.Duration) time.Duration {
	return min(max(2*before, p.first), p.last)
}

// stallAfter is how long EC2 may fail to do what it is asked, for reasons that may pass,
// before only what is free counts as capacity: pods that wait can go elsewhere.
const stallAfter = 5 * time.Second

// hangsAfter is how long a call may take before it counts as one that will not be
// answered: a little less than a bind waits.
const hangsAfter = 20 * time.Second

// forgotten is how long after its pause an action that went unanswered still counts as
// one that may not work.
const forgotten = time.Minute

// unlimited is more blocks than an interface has slots.
const unlimited = 1 << 10

// stall is how EC2 fails to do one action on an interface. While it lasts what the
// action would bring is no capacity; when its pause is over, one block is offered, to
// find out whether it is over too. The zero value is an action that works.
type stall struct {
	since   time.Time     // of the first failure that no success has followed; zero: none
	refused bool          // EC2 has answered that it will not, which counts at once
	pause   time.Duration // before it is tried again
	until   time.Time     // the end of the pause
	sent    time.Time     // of the call under way; zero: none is
	why     error
}

// begin notes that a call is under way.
func (s *stall) begin(now time.Time) { s.sent = now }

// end takes in what became of the call.
func (s *stall) end(class cloud.Class, err error, now time.Time) {
	s.sent = time.Time{}
	switch class {
	case cloud.None, cloud.NoRoom, cloud.Gone: // an answer; what it means is another's to say
		*s = stall{}
		return
	case cloud.RetryLater, cloud.Lost:
		s.pause = unansweredPause.after(s.pause)
	case cloud.OutOfStep, cloud.Refused:
		if class == cloud.OutOfStep && s.since.IsZero() {
			s.pause = unansweredPause.first // the look that follows may find out why
			break
		}
		if !s.refused {
			s.pause = 0 // another cause than before
		}
		s.refused = true
		s.pause = refusedPause.after(s.pause)
	}
	if s.since.IsZero() {
		s.since = now
	}
	s.until, s.why = now.Add(s.pause), err
}

// limit is how many blocks the action may count for as capacity.
func (s *stall) limit(now time.Time) int {
	switch {
	case !s.sent.IsZero() && !now.Before(s.sent.Add(hangsAfter)):
		return 0
	case s.since.IsZero(), !s.refused && now.Before(s.since.Add(stallAfter)):
		return unlimited
	case now.Before(s.until):
		return 0
	case !s.refused && !now.Before(s.until.Add(forgotten)):
		return unlimited // nobody has needed it since
	}
	return 1
}

// explain says the same as reason, with all that EC2 has answered and what to do.
func (s *stall) explain() error {
	if s.why == nil {
		return s.reason()
	}
	return s.why
}

// reason says why what the action would bring is not to be had, in few texts: they
// stand on the pods that wait.
func (s *stall) reason() error {
	if e, ok := errors.AsType[*cloud.Error](s.why); ok && e.Code != "" {
		return fmt.Errorf("%w: %s", errStalled, e.Code)
	}
	return fmt.Errorf("%w: it does not answer", errStalled)
}

// doubt notes that the ENI may not be as the ledger has it. Caller holds n.mu.
func (n *node) doubt() {
	if !n.doubted {
		n.doubted, n.doubtedSince = true, time.Now()
	}
}

// limit is how many blocks EC2 may be counted on for: none as well where the ENI has
// been in doubt for long, since nothing is asked for it then. Caller holds n.mu.
func (n *node) limit(now time.Time) int {
	if n.doubted && !now.Before(n.doubtedSince.Add(stallAfter)) {
		return 0
	}
	if lost := n.ledger.InDoubtSince(); !lost.IsZero() && !now.Before(lost.Add(stallAfter)) {
		return 0
	}
	return n.stalls[assigning].limit(now)
}
