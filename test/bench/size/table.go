package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report prints one line for each run.
func report(out io.Writer, o options, rows []row) {
	fmt.Fprintf(out, "\n%d pods at once; %d of 16 addresses of each node in use before; EC2 %s\n\n", o.pods, o.running, o.latency)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "nodes\t\tpods/s\tcreated -> bound p50\tp99\tscheduler\tAPI server\tslotwise\twrites\tEC2 calls\tready\tmemory: start\tafter\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%d\t%s\t%.0f\t%s\t%s\t%s\t%s\t%s\t%.1f a pod\t%d\t%s\t%s\t%s\t\n",
			r.nodes, r.what(), float64(o.pods)/r.elapsed.Seconds(), r.quantile(0.5), r.quantile(0.99),
			r.perPod(o, "kube-scheduler"), r.perPod(o, "kube-apiserver"), r.perPod(o, "slotwise"),
			r.writesPerPod(o, resources(r.writes)...), r.calls, shown(r.ready), mebibytes(r.peak), mebibytes(r.memory))
	}
	_ = w.Flush() // the terminal has nobody to tell
	fmt.Fprintln(out, "\nscheduler, API server, slotwise: processor time during the burst, a pod")
	fmt.Fprintln(out, "writes: of all clients to the API server, of them")
	w = tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	columns := resources(rows[len(rows)-1].writes)
	fmt.Fprintln(w, "nodes\t\t"+strings.Join(columns, "\t")+"\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%d\t%s\t", r.nodes, r.what())
		for _, resource := range columns {
			fmt.Fprintf(w, "%.2f\t", r.writesPerPod(o, resource))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
}

// what is the row's name.
func (r row) what() string {
	if r.slotwise {
		return "with Slotwise"
	}
	return "scheduler alone"
}

// resources lists those that were written, most often written first.
func resources(writes map[string]int) []string {
	return slices.SortedFunc(maps.Keys(writes), func(a, b string) int {
		return cmp.Or(cmp.Compare(writes[b], writes[a]), cmp.Compare(a, b))
	})
}

func (r row) writesPerPod(o options, of ...string) float64 {
	n := 0
	for _, resource := range of {
		n += r.writes[resource]
	}
	return float64(n) / float64(o.pods)
}

func (r row) quantile(q float64) time.Duration {
	return r.bound[min(len(r.bound)-1, int(q*float64(len(r.bound))))].Round(time.Millisecond)
}

// perPod is the processor time that a process took for each pod.
func (r row) perPod(o options, process string) string {
	seconds, ran := r.spent[process]
	if !ran {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", 1000*seconds/float64(o.pods))
}

func shown(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(100 * time.Millisecond).String()
}

func mebibytes(bytes uint64) string {
	if bytes == 0 {
		return "-"
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}
