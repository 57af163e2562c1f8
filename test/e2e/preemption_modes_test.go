package e2e

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// TestOneVictimDuringASwitch has a pod preempt on a node that is full of secondary IPs
// after a switch to prefixes: its victim's slot takes a prefix. Back again, one in
// whose place no address would come is not evicted.
func TestOneVictimDuringASwitch(t *testing.T) {
	t.Parallel()
	const slots = 3 // of a t3.small
	s := startWithPriorities(t, testenv.Options{})
	namespace := s.NewNamespace(t)
	s.nodes(t, namespace, 1, "t3.small", testenv.Subnet)
	check.Must(t, s.CreatePods(t.Context(), namespace, "user", slots, testenv.OnGroup(namespace), stopAfter(2*time.Second)))
	check.Must(t, s.AwaitRunning(t.Context(), namespace, slots))
	before := s.list(t, namespace)
	check.Must(t, s.PrefixMode(t.Context(), true))

	check.Must(t, s.CreatePods(t.Context(), namespace, "urgent", 1, urgent, testenv.OnGroup(namespace)))
	s.awaitNamed(t, namespace, "urgent", 1)
	if victims := s.victims(t, before); len(victims) != 1 {
		t.Errorf("%d of %d pods had to go for one, want one: %s", len(victims), slots, names(victims))
	}

	const inPrefix = 15 // beside the one that has preempted
	check.Must(t, s.CreatePods(t.Context(), namespace, "later", inPrefix, testenv.OnGroup(namespace)))
	check.Must(t, s.AwaitRunning(t.Context(), namespace, slots-1+1+inPrefix))
	check.Must(t, s.PrefixMode(t.Context(), false))
	before = s.list(t, namespace, "user", "later")
	check.Must(t, s.CreatePods(t.Context(), namespace, "second", 1, urgent, testenv.OnGroup(namespace)))
	check.Must(t, check.ErrorOf(s.AwaitTurnedAway(t.Context(), namespace, 1)))
	time.Sleep(45 * time.Second) // it may run in the place of one with a secondary IP, or wait
	victims := s.victims(t, before)
	for _, v := range victims {
		if strings.HasPrefix(v.Name, "later") {
			t.Errorf("%s had to go, though its prefix stays as long as others have addresses of it", v.Name)
		}
	}
	if len(victims) > 1 {
		t.Errorf("%d pods had to go for one: %s", len(victims), names(victims))
	}
}

// TestOneVictimInObserve has pods preempt where AWS's controller gives the addresses:
// where its figure is true, and where it exceeds the truth after a switch.
func TestOneVictimInObserve(t *testing.T) {
	t.Parallel()
	const slots = 3 // of a t3.small
	s := startWithPriorities(t, testenv.Options{Overlay: testenv.Observe, Args: []string{"--observe-interval=5s"}})
	s.startAWS(t)
	fill := func() (namespace string, users []*corev1.Pod) {
		namespace = s.NewNamespace(t)
		s.nodes(t, namespace, 1, "t3.small", testenv.Subnet)
		check.Must(t, s.CreatePods(t.Context(), namespace, "user", slots, testenv.OnGroup(namespace), stopAfter(2*time.Second)))
		check.Must(t, s.AwaitRunning(t.Context(), namespace, slots))
		return namespace, s.list(t, namespace)
	}
	preempt := func(namespace, when string, users []*corev1.Pod) {
		check.Must(t, s.CreatePods(t.Context(), namespace, "urgent", 1, urgent, testenv.OnGroup(namespace)))
		if err := s.namedRun(t, namespace, "urgent", 1); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if victims := s.victims(t, users); len(victims) != 1 {
			t.Errorf("%s: %d of %d pods had to go for one, want one: %s", when, len(victims), len(users), names(victims))
		}
	}
	truthful, users := fill()
	switched, others := fill()
	preempt(truthful, "where AWS's figure is true", users)
	check.Must(t, s.PrefixMode(t.Context(), true))
	preempt(switched, "where AWS's figure exceeds the truth", others)
}
