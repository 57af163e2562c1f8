package sim

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"slotwise.dev/slotwise/test/sim/history"
	"slotwise.dev/slotwise/test/sim/judge"
	"slotwise.dev/slotwise/test/witness"
)

// Campaign plays random histories for a while.
type Campaign struct {
	Options
	Duration time.Duration // of wall time
	Seed     uint64        // of the first history; the others have the next ones
	Parallel int           // processes
	// Enough failures end it.
	Enough int
	// Shrink bounds how long the smallest history of the first failure is looked for.
	Shrink time.Duration
	Out    io.Writer

	mu        sync.Mutex // guards all below
	began     time.Time
	last      uint64 // seed
	histories int
	simulated time.Duration
	replayed  int // histories that were played twice
	equal     int // of them, that went the same way twice
	counts    map[string]int
	failures  []Failure
}

// Failure is a history that went wrong.
type Failure struct {
	Seed    uint64
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
)

// Run plays histories, and returns those that went wrong.
func (c *Campaign) Run(t *testing.T) []Failure {
	c.began, c.last, c.counts = time.Now(), c.Seed, map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), c.Duration)
	defer cancel()
	c.say("seed %d, %d processes, for %s", c.Seed, c.Parallel, c.Duration)
	var all sync.WaitGroup
	for i := range c.Parallel {
		all.Go(func() { c.keep(ctx, c.Seed+uint64(i), cancel) })
	}
	all.Go(func() { c.report(ctx) })
	all.Wait()
	c.summary()
	if len(c.failures) > 0 && c.Shrink > 0 {
		c.shrink(t, c.failures[0])
	}
	return c.failures
}

// keep has a worker play every nth history, and another one go on where it dies.
func (c *Campaign) keep(ctx context.Context, seed uint64, cancel func()) {
	step := uint64(c.Parallel)
	for ctx.Err() == nil {
		err := hire(ctx, seed, step, func(p played) {
			seed = p.Seed + step
			if c.enter(p) {
				cancel()
			}
		})
		if err == nil {
			continue
		}
		dead := seed // the one that it played
		if told, found := seedOf(err.Error()); found {
			dead = told
		}
		v := Verdict{Violations: []witness.Violation{{Kind: judge.Broke, Text: strings.SplitN(err.Error(), "\n", 3)[1]}}, Story: err.Error()}
		if c.enter(played{Seed: dead, Verdict: v}) {
			cancel()
		}
		seed = dead + step
	}
}

// enter takes up what a worker has played, and says whether there are failures enough.
func (c *Campaign) enter(p played) (enough bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.histories++
	c.last = max(c.last, p.Seed)
	c.simulated += p.Verdict.Simulated
	for what, n := range p.Verdict.Counts {
		c.counts[what] += n
	}
	if p.Again {
		c.replayed++
		c.simulated += p.Verdict.Simulated
		if p.Equal {
			c.equal++
		}
	}
	if len(p.Verdict.Violations) == 0 || len(c.failures) >= c.Enough {
		return false
	}
	after := time.Since(c.began)
	c.failures = append(c.failures, Failure{p.Seed, p.Verdict, after})
	c.tellLocked("FOUND after %.1fs, seed %d: %s", after.Seconds(), p.Seed, p.Verdict.Violations[0].Kind)
	for _, x := range p.Verdict.Violations[:min(3, len(p.Verdict.Violations))] {
		c.tellLocked("  %s: %s", x.Kind, x.Text)
	}
	c.keepStoryLocked(p)
	return len(c.failures) >= c.Enough
}

// keepStoryLocked writes what is known of a failure to a file: played again, the history may
// go another way. Caller holds c.mu.
func (c *Campaign) keepStoryLocked(p played) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("slotwise-sim-%d.txt", p.Seed))
	if err := os.WriteFile(path, []byte(p.Verdict.Story), 0o600); err != nil {
		c.tellLocked("  %v", err)
		return
	}
	c.tellLocked("  more in %s", path)
}

// shrink looks for the smallest history that fails like a failure does, tells it, and
// writes it to a file.
func (c *Campaign) shrink(t *testing.T, f Failure) {
	kind := f.Verdict.Violations[0].Kind
	if kind == judge.Broke {
		c.say("%s", f.Verdict.Story)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), c.Shrink)
	defer cancel()
	c.say("looking for the smallest history of seed %d with %s", f.Seed, kind)
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
	h := s.Shrink(ctx, history.New(f.Seed, c.Groups...), f.Verdict.First)
	h.Why = string(kind)
	path := filepath.Join(os.TempDir(), fmt.Sprintf("slotwise-sim-%d.json", h.Seed))
	if err := h.Write(path); err != nil {
		c.say("%v", err)
	}
	c.say("left is, in %s:\n%s\n%s", path, h, best.Story)
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
	row("seeds", fmt.Sprintf("%d to %d", c.Seed, c.last))
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
