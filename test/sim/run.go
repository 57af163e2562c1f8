package sim

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"slotwise.dev/slotwise/test/sim/history"
	"slotwise.dev/slotwise/test/sim/judge"
	"slotwise.dev/slotwise/test/witness"
)

// Verdict is what a run has shown.
type Verdict struct {
	Violations []witness.Violation // that nothing excuses, oldest first
	Story      string              // what is known around the first of them
	First      time.Duration       // when that was
	Counts     map[string]int      // what happened how often
	Simulated  time.Duration
	Trace      uint64 // equal for two runs in which the same was written at the same times
}

// Kinds are the kinds of violations, each once.
func (v Verdict) Kinds() (kinds []witness.Kind) {
	for _, x := range v.Violations {
		if !slices.Contains(kinds, x.Kind) {
			kinds = append(kinds, x.Kind)
		}
	}
	return kinds
}

// Run plays a history from its beginning to the verdict. It may be called by several
// goroutines at once.
func Run(t *testing.T, h history.History, o Options) (v Verdict) {
	defer func() { // of a deadlock, say; a panic in another goroutine ends the process
		if p := recover(); p != nil {
			v.Violations = append(v.Violations, witness.Violation{Kind: judge.Broke, Text: fmt.Sprint(p)})
			v.Story = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	synctest.Test(t, func(*testing.T) { v = play(h, o) })
	return v
}

// play runs within a bubble.
func play(h history.History, o Options) (v Verdict) {
	ctx, cancel := context.WithCancel(context.Background())
	s := newSystem(ctx, h, o)
	trouble, end := context.WithCancel(ctx)
	s.trouble = trouble
	for _, step := range h.Steps {
		s.until(s.began.Add(step.At.D()))
		s.make(step)
	}
	s.until(s.began.Add(h.Trouble.D()))
	s.heal(end)
	s.trouble = ctx
	lost := s.conclude(ctx)
	v.Simulated = time.Since(s.began)
	v.Violations = append(s.judge.All(), lost...)
	if len(v.Violations) > 0 {
		first := v.Violations[0]
		v.First = first.At.Sub(s.began)
		v.Story = s.judge.History(first, s.began)
	}
	v.Counts = s.judge.Counts()
	s.mu.Lock()
	maps.Copy(v.Counts, s.counts)
	s.mu.Unlock()
	v.Trace = s.judge.Trace()
	s.close(cancel)
	return v
}
