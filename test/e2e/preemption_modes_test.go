package e2e

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// TestOneVictimInObserve has pods preempt where AWS's controller gives the addresses:
// where its figure is true, and where it exceeds the truth after a switch.
func TestOneVictimInObserve(t *testing.T) {
	t.Parallel()
	const slots = 3 // of a t3.small
	e := start(t, testenv.Options{Overlay: testenv.Observe, Args: []string{"--observe-interval=5s"}})
	check.Must(t, e.addPriorities(t.Context()))
	e.startAWS(t)
	fill := func() (namespace string, users []*corev1.Pod) {
		namespace = e.NewNamespace(t)
		e.nodes(t, namespace, 1, "t3.small", testenv.Subnet)
		check.Must(t, e.CreatePods(t.Context(), namespace, "user", slots, testenv.OnGroup(namespace), stopAfter(2*time.Second)))
		check.Must(t, e.AwaitRunning(t.Context(), namespace, slots))
		return namespace, e.list(t, namespace)
	}
	preempt := func(namespace, when string, users []*corev1.Pod) {
		check.Must(t, e.CreatePods(t.Context(), namespace, "urgent", 1, urgent, testenv.OnGroup(namespace)))
		if err := e.namedRun(t, namespace, "urgent", 1); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if victims := e.victims(t, users); len(victims) != 1 {
			t.Errorf("%s: %d of %d pods had to go for one, want one: %s", when, len(victims), len(users), names(victims))
		}
	}
	truthful, users := fill()
	switched, others := fill()
	preempt(truthful, "where AWS's figure is true", users)
	check.Must(t, e.PrefixMode(t.Context(), true))
	preempt(switched, "where AWS's figure exceeds the truth", others)
}
