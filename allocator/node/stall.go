package node

import (
	"errors"
	"time"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/cloud"
)

// stallAfter is how long EC2 may fail to do what it is asked, for reasons that may pass,
// before only what is free counts as capacity: pods that wait can go elsewhere.
const stallAfter = 5 * time.Second

// hangsAfter is how long a call may take before it counts as one that will not be
// answered: a little less than a bind waits.
const hangsAfter = 20 * time.Second

// forgottenAfter is how long after its pause an action that went unanswered still counts
// as one that may not work.
const forgottenAfter = time.Minute

// stall is how EC2 fails to do one action on an interface. While it lasts what the
// action would bring is no capacity; when its pause is over, one block is offered, to
// find out whether it is over too. The zero value is an action that works.
type stall struct {
	since   time.Time     // of the first failure that no success has followed; zero: none
	refused bool          // EC2 has answered that it will not, which counts at once
	pause   time.Duration // before it is tried again
	until   time.Time     // the end of the pause
	sent    time.Time     // of the call under way; zero: none is
	cause   error
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
	s.until, s.cause = now.Add(s.pause), err
}

// limit is how many blocks the action may count for as capacity.
func (s *stall) limit(now time.Time) int {
	switch {
	case !s.sent.IsZero() && !now.Before(s.sent.Add(hangsAfter)):
		return 0
	case s.since.IsZero(), !s.refused && now.Before(s.since.Add(stallAfter)):
		return capacity.Unlimited
	case now.Before(s.until):
		return 0
	case !s.refused && !now.Before(s.until.Add(forgottenAfter)):
		return capacity.Unlimited // nobody has needed it since
	}
	return 1
}

// detail is what EC2 has answered, in few texts: they stand on the pods that wait.
func (s *stall) detail() string {
	if e, ok := errors.AsType[*cloud.Error](s.cause); ok && e.Code != "" {
		return e.Code
	}
	return "it does not answer"
}

// explain says all that EC2 has answered and what to do.
func (s *stall) explain() string {
	if s.cause == nil {
		return (&capacity.Error{Reason: capacity.Refused, Detail: s.detail()}).Error()
	}
	return s.cause.Error()
}

// stalls are those of the two actions that change an interface.
type stalls struct{ assign, unassign stall }

// of is the stall of the action that a call makes.
func (s *stalls) of(assign bool) *stall {
	if assign {
		return &s.assign
	}
	return &s.unassign
}
