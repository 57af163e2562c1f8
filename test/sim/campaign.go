package sim

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"slotwise.dev/slotwise/test/sim/history"
	"slotwise.dev/slotwise/test/witness"
)

// Campaign plays random histories for a while.
type Campaign struct {
	Options
	Duration time.Duration // of wall time
	Seed     uint64        // of the first history; the others have the next ones
	Parallel int           // histories at once
	// First ends it with the first failure, and does not shrink that.
	First bool
	// Shrink bounds how long the smallest history of a failure is looked for.
	Shrink time.Duration
	Out    io.Writer

	mu        sync.Mutex // guards all below
	began     time.Time
	next      uint64
	histories int
	simulated time.Duration
	replayed  int // histories that were played twice
	equal     int // of them, that went the same way twice
	counts    map[string]int
	failures  []Failure
}

// Failure is a history that went wrong.
type Failure struct {
	History history.History
	Verdict Verdict
	After   time.Duration // since the beginning of the campaign
}

const (
	// progress is between two lines of it.
	progress = 5 * time.Second
	// replays is one of how many histories is played twice.
	replays = 10
	// attempts is how often a candidate is played while a history is shrunk: which of two
	// goroutines runs first is left to Go.
	attempts = 3
	// enough failures end a campaign.
	enough = 3
)

// Run plays histories, and returns those that went wrong.
func (c *Campaign) Run(t *testing.T) []Failure {
	c.began, c.next, c.counts = time.Now(), c.Seed, map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), c.Duration)
	defer cancel()
	c.say("seed %d, %d histories at a time, for %s", c.Seed, c.Parallel, c.Duration)
	var all sync.WaitGroup
	for range c.Parallel {
		all.Go(func() {
			for ctx.Err() == nil {
				if c.one(t) {
					cancel()
				}
			}
		})
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		c.report(ctx)
	}()
	all.Wait()
	cancel()
	<-told
	c.summary()
	if !c.First {
		for i := range c.failures {
			c.shrink(t, &c.failures[i])
		}
	}
	return c.failures
}

// one plays the next history, and says whether the campaign is to end.
func (c *Campaign) one(t *testing.T) (end bool) {
	c.mu.Lock()
	seed := c.next
	c.next++
	c.mu.Unlock()
	h := history.New(seed)
	v := labelled(t, h, c.Options)
	again := Verdict{}
	if seed%replays == 0 {
		again = labelled(t, h, c.Options)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.histories++
	c.simulated += v.Simulated
	for what, n := range v.Counts {
		c.counts[what] += n
	}
	if again.Trace != 0 {
		c.replayed++
		c.simulated += again.Simulated
		if again.Trace == v.Trace {
			c.equal++
		}
	}
	if len(v.Violations) == 0 {
		return false
	}
	c.failures = append(c.failures, Failure{h, v, time.Since(c.began)})
	c.tellLocked("FOUND after %.1fs, seed %d: %s", time.Since(c.began).Seconds(), seed, v.Violations[0].Kind)
	for _, x := range v.Violations[:min(3, len(v.Violations))] {
		c.tellLocked("  %s: %s", x.Kind, x.Text)
	}
	return c.First || len(c.failures) >= enough
}

// labelled runs a history with its seed as a label of all its goroutines: a panic in one of
// them ends the process, and its stack tells the label (GODEBUG=tracebacklabels=1).
func labelled(t *testing.T, h history.History, o Options) (v Verdict) {
	pprof.Do(t.Context(), pprof.Labels("seed", strconv.FormatUint(h.Seed, 10)), func(context.Context) { v = Run(t, h, o) })
	return v
}

// shrink looks for the smallest history that fails like a failure does, tells it, and
// writes it to a file.
func (c *Campaign) shrink(t *testing.T, f *Failure) {
	if len(f.Verdict.Violations) == 0 || c.Shrink == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), c.Shrink)
	defer cancel()
	kind := f.Verdict.Violations[0].Kind
	c.say("looking for the smallest history of seed %d with %s", f.History.Seed, kind)
	best := f.Verdict
	s := history.Shrinker{
		Fails: func(ctx context.Context, h history.History) bool {
			for range attempts {
				if ctx.Err() != nil {
					return false
				}
				if v := Run(t, h, c.Options); slices.Contains(v.Kinds(), kind) {
					best = v
					return true
				}
			}
			return false
		},
		Tell: func(text string) { c.say("  %s", text) },
	}
	f.History = s.Shrink(ctx, f.History, f.Verdict.First)
	f.History.Why = string(kind)
	f.Verdict = best
	path := filepath.Join(os.TempDir(), fmt.Sprintf("slotwise-sim-%d.json", f.History.Seed))
	if err := f.History.Write(path); err != nil {
		c.say("%v", err)
	}
	c.say("left is, in %s:\n%s\n%s", path, f.History, best.Story)
}

func (c *Campaign) report(ctx context.Context) {
	tick := time.NewTicker(progress)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.mu.Lock()
			c.tellLocked("%d histories, %.1f simulated hours, %d failed", c.histories, c.simulated.Hours(), len(c.failures))
			c.mu.Unlock()
		}
	}
}

func (c *Campaign) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tellLocked(format, args...)
}

// tellLocked prints a line. Caller holds c.mu.
func (c *Campaign) tellLocked(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Out, "%6.1fs  %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...)) // there is nobody else to tell
}

// summary tells what happened how often.
func (c *Campaign) summary() {
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	row := func(what string, n any) { _, _ = fmt.Fprintf(table, "  %s\t%v\n", what, n) }
	wall := time.Since(c.began)
	row("seeds", fmt.Sprintf("%d to %d", c.Seed, c.next-1))
	row("histories", c.histories)
	row("simulated hours", fmt.Sprintf("%.1f", c.simulated.Hours()))
	row("simulated hours in 10 minutes", fmt.Sprintf("%.0f", c.simulated.Hours()/wall.Minutes()*10))
	row("histories played twice", c.replayed)
	row("of them those that went the same way", c.equal)
	for _, what := range slices.Sorted(maps.Keys(c.counts)) {
		row(what, c.counts[what])
	}
	kinds := map[witness.Kind]int{}
	for _, f := range c.failures {
		for _, k := range f.Verdict.Kinds() {
			kinds[k]++
		}
	}
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		row("FOUND "+string(k), kinds[k])
	}
	_ = table.Flush() // into memory
	c.say("what happened\n%s", out.String())
}
