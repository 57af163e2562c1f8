package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// report prints one line for each run.
func report(out io.Writer, o options, rows []row) {
	fmt.Fprintf(out, "\n%d pods at once; %d of 16 addresses of each node in use before; EC2 %s\n\n", o.pods, o.running, o.latency)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "nodes\t\tpods/s\tcreated -> bound p50\tp99\tscheduler\tAPI server\tslotwise\twrites\tEC2 calls\tready\tmemory: start\tafter\t")
	for _, r := range rows {
		what := "scheduler alone"
		if r.slotwise {
			what = "with Slotwise"
		}
		fmt.Fprintf(w, "%d\t%s\t%.0f\t%s\t%s\t%s\t%s\t%s\t%.1f a pod\t%d\t%s\t%s\t%s\t\n",
			r.nodes, what, float64(o.pods)/r.elapsed.Seconds(), r.quantile(0.5), r.quantile(0.99),
			r.perPod(o, "kube-scheduler"), r.perPod(o, "kube-apiserver"), r.perPod(o, "slotwise"),
			float64(r.writes)/float64(o.pods), r.calls, shown(r.ready), mebibytes(r.peak), mebibytes(r.memory))
	}
	_ = w.Flush() // the terminal has nobody to tell
	fmt.Fprintln(out, "\nscheduler, API server, slotwise: processor time during the burst, a pod")
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
