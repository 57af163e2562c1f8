// Command demo tells the story that Slotwise exists for, live and on real
// components: a cluster with running Windows pods is switched from secondary
// IPs to prefix delegation, and not one pod is bound that has no address.
//
// It exits with an error if any figure of the story is not as it should be.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

func main() {
	keep := flag.Bool("keep", false, "leave the cluster up at the end, until Ctrl-C")
	flag.Parse()
	klog.SetLogger(logr.Discard()) // the story is what there is to read; processes have their logs
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *keep)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}
