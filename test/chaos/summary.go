package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"slotwise.dev/slotwise/test/witness"
)

// tellEvery is between two lines of progress.
const tellEvery = 5 * time.Second

// say prints a line with the time since the beginning.
func (c *chaos) say(format string, args ...any) {
	c.print(fmt.Sprintf("%5.0fs  %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...)))
}

func (c *chaos) print(text string) {
	_, _ = fmt.Fprint(c.out, text) // there is nobody else to tell
}

// report tells how it goes, until ctx ends.
func (c *chaos) report(ctx context.Context) {
	for sleep(ctx, tellEvery) {
		found := c.Violations()
		n := countPods(c.Lives())
		c.say("pods %d, running %d, bound %d, ended %d, rejected %d; leaders harmed %d; EC2 calls %d, struck %d; violations %d",
			n.live, n.running, n.bound, n.ended, n.rejected, c.leadersHarmed(), len(c.EC2.Calls()), c.struck(), broken(found))
		for ; c.told < len(found); c.told++ {
			c.say("%s: %s", found[c.told].Kind, found[c.told].Text)
		}
	}
}

// podCounts are how many pods there are and were.
type podCounts struct{ seen, live, running, bound, ended, rejected int }

func countPods(lives []witness.Life) (n podCounts) {
	n.seen = len(lives)
	for _, l := range lives {
		if l.Bound > 0 {
			n.bound++
		}
		if l.Ended > 0 {
			n.ended++
		} else {
			n.live++
		}
		if l.Running {
			n.running++
		}
		if l.Rejected != "" {
			n.rejected++
		}
	}
	return n
}

func broken(found []witness.Violation) (n int) {
	for _, v := range found {
		if v.Broken() {
			n++
		}
	}
	return n
}

func (c *chaos) leadersHarmed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.harms)
}

// struck counts the EC2 calls that a fault struck.
func (c *chaos) struck() (n int) {
	for _, call := range c.EC2.Calls() {
		if call.Fault != "" {
			n++
		}
	}
	return n
}

// summary prints all that was counted.
func (c *chaos) summary(found []witness.Violation) {
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	row := func(cells ...any) { _, _ = fmt.Fprintf(table, "  "+strings.Repeat("%v\t", len(cells))+"\n", cells...) }
	head := func(text string) { _, _ = fmt.Fprintf(table, "\n%s\n", text) }

	n := countPods(c.Lives())
	head(fmt.Sprintf("chaos of %s, seed %d, %d nodes", c.duration, c.seed, c.nodes))
	row("pods created", n.seen)
	row("pods bound", n.bound)
	row("pods ended", n.ended)
	row("pods rejected by kubelets, bound by whomever", n.rejected)
	t := c.Witness.Tally()
	row("  of them those that met what their binding could not know", t.Outrun)
	row("pods that preempted", t.Preemptors)
	row("pods preempted", t.Victims)
	row("  of them those of which the scheduler did not tell for whom", t.Unclaimed)
	for _, why := range slices.Sorted(maps.Keys(t.Spared)) {
		row("  of them not the first for one pod: "+why, t.Spared[why])
	}
	row("pods that were told that their address is lost", t.AddressLost)
	row("times the witness may have missed something", c.Gaps())
	head("what was done")
	c.mu.Lock()
	each(c.counts, row)
	c.mu.Unlock()
	head("EC2 calls")
	each(c.EC2.Counts(), row)
	head("EC2 calls struck by a fault")
	each(c.faults(), row)
	head("EC2's answers other than success, faults included")
	each(c.EC2.Errors(), row)
	row("of them refusals that nobody could have known of", c.Excused())
	head("time without a binding after ...\ttimes\tmedian\tmax")
	c.stillness(row)
	head("violations")
	for _, kind := range witness.Kinds {
		row(kind, count(found, kind, witness.Violation.Broken))
		if after := count(found, kind, func(v witness.Violation) bool { return v.Thawed }); after > 0 {
			row("  the same by a leader that had just thawed", after)
		}
		if taken := count(found, kind, func(v witness.Violation) bool { return v.Taken }); taken > 0 {
			row("  the same after others had taken it from the first pod's interface", taken)
		}
	}
	_ = table.Flush() // into memory
	c.print(out.String())
}

func each[V any](all map[string]V, row func(...any)) {
	for _, key := range slices.Sorted(maps.Keys(all)) {
		row(key, all[key])
	}
}

func count(found []witness.Violation, kind witness.Kind, which func(witness.Violation) bool) (n int) {
	for _, v := range found {
		if v.Kind == kind && which(v) {
			n++
		}
	}
	return n
}

func (c *chaos) faults() map[string]int {
	counts := map[string]int{}
	for _, call := range c.EC2.Calls() {
		if call.Fault != "" {
			counts[string(call.Fault)]++
		}
	}
	return counts
}

// stillness tells for how long no pod was bound through the extender, by what had
// happened; without those times in which more happened.
func (c *chaos) stillness(row func(...any)) {
	c.mu.Lock()
	harms := slices.Clone(c.harms)
	c.mu.Unlock()
	times := map[string][]time.Duration{}
	for i, h := range harms {
		d, bound := c.Stillness(h.at)
		if more := i+1 < len(harms) && harms[i+1].at.Before(h.at.Add(d)); bound && !more {
			times[h.kind] = append(times[h.kind], d)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(times)) {
		all := times[kind]
		slices.SortFunc(all, cmp.Compare)
		row(kind, len(all), seconds(all[len(all)/2]), seconds(all[len(all)-1]))
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
