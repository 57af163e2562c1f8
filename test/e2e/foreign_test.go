package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
	s := shared(t)
	namespace := s.NewNamespace(t) // no other place for pods that are bound without an address
	check.Must(t, check.ErrorOf(s.AddNode(t.Context(), node, twoSlots.Name, testenv.Subnet)))
	check.Must(t, check.ErrorOf(s.Cluster.StartScheduler(t.Context(), controlplane.Scheduler{Name: plainScheduler, Config: []byte(plainConfig)})))

	check.Must(t, s.CreatePods(t.Context(), namespace, "scheduled", scheduled, testenv.OnNode(node), testenv.Scheduler(plainScheduler)))
	check.Must(t, s.CreatePods(t.Context(), namespace, "daemon", 2, onNodeByHand(node)))
	check.Must(t, s.CreatePods(t.Context(), namespace, "nameless", 2, onNodeByHand(node), ofNoSystem))
	check.Must(t, s.CreatePods(t.Context(), namespace, "bound", 2, testenv.Scheduler("nobody")))
	for i := range 2 {
		check.Must(t, s.bindByHand(t.Context(), namespace, fmt.Sprint("bound-", i), node))
	}
	check.Must(t, s.AwaitRunning(t.Context(), namespace, scheduled+6))
	p := s.pod(t, namespace, "scheduled-0")
	if p.Status.PodIP != address(t, p).String() {
		t.Errorf("%s has the address %s and runs with %s", p.Name, address(t, p), p.Status.PodIP)
	}
	check.Must(t, s.AwaitEvent(t.Context(), "Pod", namespace, p.Name, events.ReasonAllocated, address(t, p).String()))
	check.Must(t, s.Check(t.Context()))

	// The two nameless pods ask for nothing, so to the scheduler they are no load.
	s.awaitCapacity(t, []string{node}, testenv.Capacity{Advertised: fits - 2, Remaining: fits - scheduled - 6})
	check.Must(t, s.CreatePods(t.Context(), namespace, "rest", fits-scheduled-6+1, testenv.OnNode(node), testenv.Scheduler(plainScheduler)))
	check.Must(t, s.AwaitRunning(t.Context(), namespace, fits))
	check.Must(t, check.ErrorOf(s.AwaitTurnedAway(t.Context(), namespace, 1)))
}

// TestPodOnFullNodeWaitsForAddress binds a pod by hand to a node that is full:
// it gets the next address that comes free. It asks for none, as nothing shows that
// it is for Windows; one that asks its kubelet would reject.
func TestPodOnFullNodeWaitsForAddress(t *testing.T) {
	t.Parallel()
	const (
		node = "foreign-full"
		fits = 16
	)
	s := shared(t)
	namespace := s.NewNamespace(t)
	check.Must(t, check.ErrorOf(s.AddNode(t.Context(), node, oneSlot.Name, testenv.Subnet)))
	check.Must(t, s.CreatePods(t.Context(), namespace, "old", fits, testenv.OnNode(node)))
	check.Must(t, s.AwaitRunning(t.Context(), namespace, fits))
	check.Must(t, s.CreatePods(t.Context(), namespace, "late", 1, onNodeByHand(node), ofNoSystem))
	s.awaitCapacity(t, []string{node}, testenv.Capacity{Advertised: fits})

	first := s.pod(t, namespace, "old-0")
	deleted := time.Now()
	check.Must(t, s.Kube.Delete(t.Context(), first, client.GracePeriodSeconds(0)))
	check.Must(t, s.AwaitRunning(t.Context(), namespace, fits))
	late := s.pod(t, namespace, "late-0")
	if got, want := address(t, late), address(t, first); got != want {
		t.Errorf("late-0 got %s, want %s, the only one that came free", got, want)
	}
	if rest := time.Since(deleted); rest < cooldown {
		t.Errorf("the address of old-0 was given again %s after its end, want %s at the least", rest, cooldown)
	}
	s.awaitCapacity(t, []string{node}, testenv.Capacity{Advertised: fits - 1}) // late-0 is no load to the scheduler
}

// onNodeByHand places pods on a node without any scheduler.
func onNodeByHand(node string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeName = node }
}

// ofNoSystem takes away what shows that a pod is for Windows.
func ofNoSystem(p *corev1.Pod) { delete(p.Spec.NodeSelector, vpc.LabelOS) }

// bindByHand binds a pod as a scheduler does that knows nothing of addresses.
func (s *system) bindByHand(ctx context.Context, namespace, pod, node string) error {
	return s.Client.CoreV1().Pods(namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{})
}
