package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// What the project has set itself for 1,000 pods on 20 nodes.
const (
	goalRate    = 200 // pods a second
	goalRatio   = 2   // created -> address p99: times the scheduler alone, and one EC2 call
	goalAssigns = 25

	// The subnet is looked at once a minute, whatever happens, with one call each
	// of DescribeSubnets, GetSubnetCidrReservations and DescribeNetworkInterfaces.
	goalDescribes = 3
)

const assign = "AssignPrivateIpAddresses"

// report prints the medians of all rounds.
func report(out io.Writer, o options, slotwise, alone []figures) {
	fmt.Fprintf(out, "\n%d pods at once on %d %s nodes in prefix mode, EC2 %s +- %s; median of %d rounds\n\n",
		o.pods, o.nodes, o.instanceType, o.latency, o.jitter, len(slotwise))
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tslotwise\tscheduler alone\tratio\t")
	t := table{w, slotwise, alone}
	t.rate()
	for _, s := range []struct {
		name  string
		of    func(figures) []time.Duration
		alone bool // has it, too
	}{
		{"created -> bound", func(f figures) []time.Duration { return f.bound }, true},
		{"bound -> address", func(f figures) []time.Duration { return f.waited }, false},
		{"created -> address", func(f figures) []time.Duration { return f.addressed }, false},
	} {
		t.times(s.name+" p50", 0.50, s.of, s.alone)
		t.times(s.name+" p99", 0.99, s.of, s.alone)
	}
	t.usage()
	_ = w.Flush() // the terminal has nobody to tell
	t.calls(out)
	t.goals(out, o)
}

type table struct {
	io.Writer
	slotwise, alone []figures
}

func (t table) rate() {
	a, b := median(t.slotwise, figures.rate), median(t.alone, figures.rate)
	fmt.Fprintf(t, "pods/s\t%.0f\t%.0f\t%.2f\t\n", a, b, a/b)
}

func (t table) times(name string, q float64, of func(figures) []time.Duration, alone bool) {
	at := func(f figures) time.Duration { return quantile(of(f), q) }
	a := median(t.slotwise, at)
	if !alone {
		fmt.Fprintf(t, "%s\t%s\t\t\t\n", name, milliseconds(a))
		return
	}
	b := median(t.alone, at)
	fmt.Fprintf(t, "%s\t%s\t%s\t%.2f\t\n", name, milliseconds(a), milliseconds(b), a.Seconds()/b.Seconds())
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// usage prints the processor time of each process.
func (t table) usage() {
	row := func(name string, of func(figures) float64) {
		a, b := median(t.slotwise, of), median(t.alone, of)
		fmt.Fprintf(t, "%s\t%.1f s\t%.1f s\t%.1f\t\n", name, a, b, a/b)
	}
	for _, process := range slices.Sorted(maps.Keys(t.slotwise[0].spent)) {
		row("CPU of "+process, func(f figures) float64 { return f.spent[process] })
	}
	row("CPU of all", func(f figures) float64 { return f.spent.Total() })
	peak := median(t.slotwise, func(f figures) uint64 { return f.peak })
	fmt.Fprintf(t, "peak memory of slotwise\t%d MiB\t\t\t\n", peak>>20)
}

// calls prints the EC2 calls by action, of each round.
func (t table) calls(out io.Writer) {
	fmt.Fprint(out, "\nEC2 calls, round by round (during the burst + afterwards until the pools had settled)\n")
	actions := map[string]bool{}
	for _, f := range t.slotwise {
		for action := range f.during {
			actions[action] = true
		}
		for action := range f.later {
			actions[action] = true
		}
	}
	for _, action := range slices.Sorted(maps.Keys(actions)) {
		var rounds []string
		for _, f := range t.slotwise {
			rounds = append(rounds, fmt.Sprintf("%d + %d", f.during[action], f.later[action]))
		}
		fmt.Fprintf(out, "  %-28s %s\n", action, strings.Join(rounds, ",  "))
	}
}

// goals prints which goals are met.
func (t table) goals(out io.Writer, o options) {
	rate := median(t.slotwise, figures.rate)
	bare := median(t.slotwise, func(f figures) int { return f.bare })
	p99 := median(t.slotwise, func(f figures) time.Duration { return quantile(f.addressed, 0.99) })
	alone := median(t.alone, func(f figures) time.Duration { return quantile(f.bound, 0.99) })
	limit := goalRatio*alone + o.latency
	assigns := median(t.slotwise, func(f figures) int { return f.during[assign] + f.later[assign] })
	describes := median(t.slotwise, figures.describes)

	fmt.Fprintln(out, "\ngoals")
	goal := func(met bool, format string, values ...any) {
		verdict := "met   "
		if !met {
			verdict = "missed"
		}
		fmt.Fprintf(out, "  %s  %s\n", verdict, fmt.Sprintf(format, values...))
	}
	goal(rate >= goalRate, "at least %d pods/s: %.0f", goalRate, rate)
	goal(bare == 0, "bound -> address 0 for every pod; pods that had to wait: %d", bare)
	goal(p99 <= limit, "created -> address p99 within %d x the scheduler alone + one EC2 call = %s: %s", goalRatio, milliseconds(limit), milliseconds(p99))
	goal(assigns <= goalAssigns, "at most %d assign calls in the burst and after it: %d", goalAssigns, assigns)
	goal(describes <= goalDescribes, "no describe in the burst but for the look at the subnet once a minute: %d", describes)
}
