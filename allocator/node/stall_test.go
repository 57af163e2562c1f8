package node

import (
	"errors"
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/cloud"
)

func refusal(class cloud.Class, code string) error {
	return &cloud.Error{Class: class, Action: cloud.Assign, Code: code, Err: errors.New("as EC2 says")}
}

// What EC2 refuses, or does not answer for long, is no capacity; once the pause is over
// one block is offered.
func TestStallLimit(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	for name, c := range map[string]struct {
		classes []cloud.Class // of calls one after the other, a second apart
		after   time.Duration // the last one's end
		want    int
	}{
		"it works":                       {[]cloud.Class{cloud.None}, 0, capacity.Unlimited},
		"no room is an answer":           {[]cloud.Class{cloud.NoRoom}, 0, capacity.Unlimited},
		"refused":                        {[]cloud.Class{cloud.Refused}, 0, 0},
		"refused, the pause over":        {[]cloud.Class{cloud.Refused}, refusedPause.first, 1},
		"refused twice, longer":          {[]cloud.Class{cloud.Refused, cloud.Refused}, refusedPause.first, 0},
		"out of step once":               {[]cloud.Class{cloud.OutOfStep}, 0, capacity.Unlimited},
		"out of step twice":              {[]cloud.Class{cloud.OutOfStep, cloud.OutOfStep}, 0, 0},
		"refused, then done":             {[]cloud.Class{cloud.Refused, cloud.None}, 0, capacity.Unlimited},
		"throttled a moment":             {[]cloud.Class{cloud.RetryLater}, 0, capacity.Unlimited},
		"throttled for long":             {[]cloud.Class{cloud.RetryLater, cloud.RetryLater, cloud.RetryLater, cloud.RetryLater, cloud.RetryLater}, stallAfter - 4*time.Second, 0},
		"lost once, and long ago":        {[]cloud.Class{cloud.Lost}, 2 * time.Minute, capacity.Unlimited},
		"lost once, nobody has tried":    {[]cloud.Class{cloud.Lost}, 30 * time.Second, 1},
		"throttled, then done, then not": {[]cloud.Class{cloud.RetryLater, cloud.None, cloud.RetryLater}, stallAfter - time.Second, capacity.Unlimited},
	} {
		t.Run(name, func(t *testing.T) {
			var s stall
			now := start
			for i, class := range c.classes {
				now = start.Add(time.Duration(i) * time.Second)
				s.begin(now)
				s.end(class, refusal(class, "Code"), now)
			}
			if got := s.limit(now.Add(c.after)); got != c.want {
				t.Errorf("limit = %d, want %d", got, c.want)
			}
		})
	}
}

// A call that hangs counts for nothing, like one that fails.
func TestStallOfACallThatHangs(t *testing.T) {
	var s stall
	now := time.Unix(1_000_000, 0)
	s.begin(now)
	if got := s.limit(now.Add(hangsAfter - 1)); got != capacity.Unlimited {
		t.Errorf("limit = %d at once", got)
	}
	if got := s.limit(now.Add(hangsAfter)); got != 0 {
		t.Errorf("limit = %d after %s", got, hangsAfter)
	}
}

// The pauses of a lasting refusal grow: what it costs EC2 is bounded.
func TestRefusedCallsAreFew(t *testing.T) {
	var s stall
	now := time.Unix(1_000_000, 0)
	calls, end := 0, now.Add(100*time.Second)
	for ; now.Before(end); now = s.until {
		calls++
		s.end(cloud.OutOfStep, refusal(cloud.OutOfStep, "PrivateIpAddressLimitExceeded"), now)
	}
	if calls > 6 {
		t.Errorf("%d calls in 100 s", calls)
	}
}
