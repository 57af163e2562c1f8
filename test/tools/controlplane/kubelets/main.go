// Command kubelets plays the kubelets of all Windows nodes of a cluster, as far as
// the API server can tell them from real ones: it admits pods by the kubelet's own
// code, runs what it has admitted, and tells of it in the pods' status. Nothing is
// really run.
//
// It models Kubernetes 1.37.2. Where a rule comes from, the file in
// k8s.io/kubernetes/pkg/kubelet is named beside it. What differs:
//
//   - A pod that is critical (priorityClassName system-node-critical and its like)
//     is rejected as any other. A kubelet would kill other pods for its sake
//     (preemption/preemption.go), which is worse for users, and as much a mistake of
//     whoever bound it.
//   - A pod that is rejected gets no event, only its status.
//   - A pod's status has what the tests and Slotwise look at, and is written only at
//     the turns of its life. Nodes send no heartbeats.
//   - After a restart, the clocks of start-after, complete-after and stop-after run
//     anew.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// knobs say how slow kubelets are.
type knobs struct {
	// teardown is how long a pod's sandbox outlives the phase Succeeded or Failed.
	teardown time.Duration
	// deletion is how long the sandbox of a deleted pod outlives its containers.
	// Its object goes only after that.
	deletion time.Duration
	// nodeLag is how far a kubelet's watch of its Node is behind.
	nodeLag time.Duration
}

// gcPercent spends memory, of which little is live, on what a whole control plane and
// a burst of pods have too little of, which is processor time.
const gcPercent = 400

func main() {
	var k knobs
	flag.DurationVar(&k.teardown, "teardown", 5*time.Second, "how long the sandbox of a pod that has ended lives on")
	flag.DurationVar(&k.deletion, "deletion-teardown", 100*time.Millisecond, "how long the sandbox of a deleted pod lives on after its containers have stopped")
	flag.DurationVar(&k.nodeLag, "node-lag", 100*time.Millisecond, "how far what a kubelet knows of its Node is behind the API server")
	kubeconfig := flag.String("kubeconfig", "", "path of the kubeconfig")
	address := flag.String("address", "127.0.0.1:0", "where /healthz and /restart are served")
	flag.Parse()
	debug.SetGCPercent(gcPercent)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig, *address, k); err != nil {
		klog.ErrorS(err, "kubelets ended")
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig, address string, k knobs) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1 // no limit on the client's side
	config.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	cluster := newCluster(ctx, newWriter(client), k)
	cluster.watch(ctx, client)
	return serve(ctx, address, cluster)
}
