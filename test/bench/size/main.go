// Command size measures what Slotwise costs a cluster of many nodes: the scheduler alone, as
// it comes, beside the scheduler with Slotwise, on as many nodes with as many running pods,
// one after the other in one run. Everything is real but EC2 and the nodes, which are
// nothing but objects: no kubelet takes processor time from what is measured.
//
// Absolute figures are those of the machine. What can be compared is one row with the other.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// options say how large everything is.
type options struct {
	pods, running int
	latency       time.Duration
	began         time.Time
}

func main() {
	o := options{began: time.Now()}
	sizes := flag.String("nodes", "20,500", "numbers of nodes, one run with each")
	flag.IntVar(&o.pods, "pods", 1000, "pods that are created at once")
	flag.IntVar(&o.running, "running", 15, "pods that run on each node before, of the 16 addresses of its prefix")
	flag.DurationVar(&o.latency, "ec2-latency", 300*time.Millisecond, "how long an EC2 call takes")
	flag.Parse()
	klog.SetLogger(logr.Discard()) // the figures are what there is to read; processes have their logs
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, *sizes)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "size:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, sizes string) error {
	var rows []row
	for size := range strings.SplitSeq(sizes, ",") {
		nodes, err := strconv.Atoi(strings.TrimSpace(size))
		if err != nil || nodes < 1 {
			return fmt.Errorf("--nodes %q: %q is no number of nodes", sizes, size)
		}
		for _, measure := range []func(context.Context, options, int) (row, error){alone, withSlotwise} {
			r, err := measure(ctx, o, nodes)
			if err != nil {
				return err
			}
			rows = append(rows, r)
		}
	}
	report(os.Stdout, o, rows)
	return nil
}

func (o options) say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "%4.0fs %s\n", time.Since(o.began).Seconds(), fmt.Sprintf(format, values...))
}
