package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"slotwise.dev/slotwise/test/bench/usage"
	"slotwise.dev/slotwise/test/ec2sim"
)

// figures are what was measured of one burst. Times are those at which events
// of the watch were handled in this process: what it lags behind the API server
// is in all of them, and for the most part cancels out in their differences.
type figures struct {
	elapsed time.Duration // from the first request to create a pod until the last was seen bound
	pods    int
	bare    int // pods that were bound without an address, even for a moment

	// One figure for each pod, in ascending order. A pod's address counts from
	// zero where the version that showed it bound had it.
	bound     []time.Duration // created -> bound
	waited    []time.Duration // bound -> address
	addressed []time.Duration // created -> address; empty for pods that get none

	during, later map[string]int // EC2 calls by action, until the last pod was bound and after
	failed        int            // EC2 calls that EC2 refused or did not answer
	spent         usage.CPU      // until the pools had settled
	peak          uint64         // memory of Slotwise, in bytes
}

func summarize(began time.Time, pods []times) figures {
	f := figures{pods: len(pods)}
	for _, t := range pods {
		f.elapsed = max(f.elapsed, t.bound.Sub(began))
		f.bound = append(f.bound, t.bound.Sub(t.created))
		if !t.addressed.Equal(t.bound) {
			f.bare++
		}
		if !t.addressed.IsZero() {
			f.waited = append(f.waited, t.addressed.Sub(t.bound))
			f.addressed = append(f.addressed, t.addressed.Sub(t.created))
		}
	}
	for _, series := range [][]time.Duration{f.bound, f.waited, f.addressed} {
		slices.Sort(series)
	}
	return f
}

// count sorts EC2 calls by when they began: until the end of the burst or later.
func (f *figures) count(calls []ec2sim.Call, end time.Time) {
	f.during, f.later = map[string]int{}, map[string]int{}
	for _, c := range calls {
		if c.Start.After(end) {
			f.later[c.Action]++
		} else {
			f.during[c.Action]++
		}
		if c.Code != "" || c.Dropped() {
			f.failed++
		}
	}
}

func (f figures) rate() float64 { return float64(f.pods) / f.elapsed.Seconds() }

// describes counts the reads of EC2 during the burst.
func (f figures) describes() (n int) {
	for action, calls := range f.during {
		if strings.HasPrefix(action, "Describe") || strings.HasPrefix(action, "Get") {
			n += calls
		}
	}
	return n
}

// quantile is the value below which a share q of a sorted series lies, by the
// nearest rank. It is zero for an empty series.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// median is that of a figure over all rounds.
func median[T cmp.Ordered](rounds []figures, of func(figures) T) T {
	all := make([]T, len(rounds))
	for i, f := range rounds {
		all[i] = of(f)
	}
	slices.Sort(all)
	return all[len(all)/2]
}
