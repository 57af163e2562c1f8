// Command burst measures how fast many pods get their address at once: a burst
// of Windows pods on nodes in prefix mode, placed by Slotwise, beside as many
// plain pods that the scheduler places alone, in the same run on the same
// cluster. Everything is real but EC2 and the kubelets; see package testenv.
//
// Absolute figures are those of the machine. What can be compared between
// machines is the ratio of the two.
//
// It exits with an error if a pod was ever bound without its address, or if an
// EC2 call failed; not if a figure misses its goal, for that depends on what
// else the machine does.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

// options say how large the burst is.
type options struct {
	pods, nodes, rounds int
	creators            int // requests to create a pod under way at once
	instanceType        string
	latency, jitter     time.Duration // of EC2 calls
}

func main() {
	var o options
	flag.IntVar(&o.pods, "pods", 1000, "pods of one burst")
	flag.IntVar(&o.nodes, "nodes", 20, "Windows nodes, and as many Linux ones for the scheduler alone")
	flag.IntVar(&o.rounds, "rounds", 3, "bursts of either kind, of which the medians are shown")
	flag.IntVar(&o.creators, "creators", 64, "requests to create a pod that are under way at once")
	flag.StringVar(&o.instanceType, "instance-type", "m5.xlarge", "EC2 instance type of the nodes")
	flag.DurationVar(&o.latency, "ec2-latency", 300*time.Millisecond, "how long an EC2 call takes on average")
	flag.DurationVar(&o.jitter, "ec2-jitter", 100*time.Millisecond, "how much longer or shorter one EC2 call may take")
	flag.Parse()
	klog.SetLogger(logr.Discard()) // the figures are what there is to read; processes have their logs
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "burst:", err)
		os.Exit(1)
	}
}
