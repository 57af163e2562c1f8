// Command chaos shows whether Slotwise keeps its promises while everything around
// it fails: on a real control plane with two replicas of Slotwise, pods come and
// go in every way there is, some of them with a priority, for which others have to
// go, the mode is switched back and forth, and at random a replica is killed, asked
// to end or frozen, the API server goes away, EC2 errs, loses answers, throttles, is
// slow or stale, or refuses for a long time, other clients unassign what pods have,
// an instance registers twice, and what Slotwise wrote is deleted or changed. A
// witness that shares no code with Slotwise watches (package witness). At the end
// everything comes to rest, and not one slot may be missing.
//
// It exits with an error, and tells the history of the addresses concerned, if
// one promise was broken. The seed decides what is done in which order; when
// exactly, and so what it meets, it does not.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"slotwise.dev/slotwise/test/controlplane"
)

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", 5*time.Minute, "how long things go wrong; the end, with everything at rest, takes about two minutes more")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()%1e6), "decides what is done in which order; default: of the moment")
	flag.IntVar(&o.nodes, "nodes", 50, "Windows nodes")
	flag.DurationVar(&o.lease, "lease", 6*time.Second, "how long Slotwise's lease lasts; its default of 15s means fewer take-overs")
	flag.DurationVar(&o.patience, "patience", 6*time.Minute, "how long everything may take to come to rest in the end")
	flag.BoolVar(&o.verbose, "verbose", false, "tell of everything that is done")
	flag.BoolVar(&o.keep, "keep-logs", false, "keep the logs also where all is well")
	flag.Parse()
	controlplane.Quiet()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\nchaos:", err)
		os.Exit(1)
	}
}
