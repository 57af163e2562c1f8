package sim

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
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
	Story      string              // what is known around the first of each kind
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
func Run(t *testing.T, h history.History, o Options) (v Verdict) {
	defer func() { // of a deadlock, say; a panic in another goroutine ends the process
		if p := recover(); p != nil {
			v.Violations = append(v.Violations, witness.Violation{Kind: judge.Broke, Text: fmt.Sprint(p)})
			v.Story = fmt.Sprintf("%v\n%s\n%s", p, debug.Stack(), bubbled())
		}
	}()
	synctest.Test(t, func(*testing.T) { v = play(h, o) })
	return v
}

// bubbled are the stacks of the goroutines of all bubbles.
func bubbled() string {
	all := make([]byte, 16<<20)
	all = all[:runtime.Stack(all, true)]
	var stacks []string
	for stack := range strings.SplitSeq(string(all), "\n\n") {
		if head, _, _ := strings.Cut(stack, "\n"); strings.Contains(head, "synctest bubble") {
			stacks = append(stacks, stack)
		}
	}
	return strings.Join(stacks, "\n\n")
}

// stories are how many are told of each kind of violations.
const stories = 3

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
	told := map[witness.Kind]int{}
	for i, x := range v.Violations {
		if i == 0 {
			v.First = x.At.Sub(s.began)
		}
		if told[x.Kind]++; told[x.Kind] <= stories {
			v.Story += s.judge.History(x, s.began)
		}
	}
	v.Counts = s.judge.Counts()
	s.mu.Lock()
	maps.Copy(v.Counts, s.counts)
	s.mu.Unlock()
	v.Trace = s.judge.Trace()
	s.close(cancel)
	return v
}
