package e2e

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
)

// plainScheduler is a scheduler that knows nothing of the extender.
const plainScheduler = "plain-scheduler"

// plainConfig is its configuration.
const plainConfig = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: ` + plainScheduler

// startPlain starts that scheduler.
func (e *env) startPlain(ctx context.Context) error {
	_, err := e.Cluster.StartScheduler(ctx, controlplane.Scheduler{Name: plainScheduler, Config: []byte(plainConfig)})
	return err
}

// TestPodsBoundByOthers has pods bound past the extender, in each of the ways
// there are: they get their address by a patch as soon as the node has one, and
// count in what it advertises.
func TestPodsBoundByOthers(t *testing.T) {
	t.Parallel()
	const (
		node      = "foreign"
		fits      = 2 * 16
		scheduled = 20
	)
	e := shared(t)
	namespace := e.NewNamespace(t) // no other place for pods that are bound without an address
	check.Must(t, check.ErrorOf(e.AddNode(t.Context(), node, twoSlots.Name, testenv.Subnet)))

	check.Must(t, e.CreatePods(t.Context(), namespace, "scheduled", scheduled, testenv.OnNode(node), testenv.Scheduler(plainScheduler)))
	check.Must(t, e.CreatePods(t.Context(), namespace, "daemon", 2, onNodeByHand(node)))
	check.Must(t, e.CreatePods(t.Context(), namespace, "nameless", 2, onNodeByHand(node), ofNoSystem))
	check.Must(t, e.CreatePods(t.Context(), namespace, "bound", 2, testenv.Scheduler("nobody")))
	for i := range 2 {
		check.Must(t, e.bindByHand(t.Context(), namespace, fmt.Sprint("bound-", i), node))
	}
	check.Must(t, e.AwaitRunning(t.Context(), namespace, scheduled+6))
	p := e.pod(t, namespace, "scheduled-0")
	if p.Status.PodIP != address(t, p).String() {
		t.Errorf("%s has the address %s and runs with %s", p.Name, address(t, p), p.Status.PodIP)
	}
	check.Must(t, e.AwaitEvent(t.Context(), "Pod", namespace, p.Name, events.ReasonAllocated, address(t, p).String()))

	// The two nameless pods ask for nothing, so to the scheduler they are no load.
	e.awaitCapacity(t, []string{node}, testenv.Capacity{Advertised: fits - 2, Remaining: fits - scheduled - 6})
	check.Must(t, e.CreatePods(t.Context(), namespace, "rest", fits-scheduled-6+1, testenv.OnNode(node), testenv.Scheduler(plainScheduler)))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, fits))
	check.Must(t, check.ErrorOf(e.AwaitTurnedAway(t.Context(), namespace, 1)))
}

// onNodeByHand places pods on a node without any scheduler.
func onNodeByHand(node string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeName, p.Spec.SchedulerName = node, "nobody" }
}

// ofNoSystem takes away what shows that a pod is for Windows.
func ofNoSystem(p *corev1.Pod) { delete(p.Spec.NodeSelector, vpc.LabelOS) }

// bindByHand binds a pod as a scheduler does that knows nothing of addresses.
func (e *env) bindByHand(ctx context.Context, namespace, pod, node string) error {
	return e.Client.CoreV1().Pods(namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{})
}
