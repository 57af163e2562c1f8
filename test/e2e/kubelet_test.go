package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// Kubelets count a pod for 5 s after it has told that it ended (package controlplane).
// These tests are about what the scheduler and the kubelet think of a node meanwhile.

// TestI9PodsComeAsOthersEnd has pods end by themselves on nodes with free addresses,
// and others come before the kubelets have torn the sandboxes down: those that are
// bound run.
func TestI9PodsComeAsOthersEnd(t *testing.T) {
	t.Parallel()
	const (
		rounds, nodes = 2, 3
		slots         = 14 // of a t3.xlarge
		jobs          = 10 // on each node, in each round
		next          = slots - jobs
	)
	s := start(t, testenv.Options{})
	namespace := s.namespace(t)
	names := s.nodes(t, "win", nodes, "t3.xlarge", testenv.Subnet)
	for round := range rounds {
		for _, name := range names {
			check.Must(t, s.CreatePods(t.Context(), namespace, "job-"+name, jobs, testenv.OnNode(name), completeAfter(2*time.Second)))
		}
		s.awaitEnded(t, namespace, nodes*jobs)
		time.Sleep(time.Second)
		for _, name := range names {
			check.Must(t, s.CreatePods(t.Context(), namespace, "next-"+name, next, testenv.OnNode(name)))
		}
		check.Must(t, s.AwaitRunning(t.Context(), namespace, nodes*next))

		if round == rounds-1 {
			break
		}
		for _, name := range names {
			check.Must(t, s.DeletePods(t.Context(), namespace, "job-"+name, jobs))
			check.Must(t, s.DeletePods(t.Context(), namespace, "next-"+name, next))
		}
		s.awaitRemaining(t, "win-", slots) // they have cooled down
	}
}

// TestI9ShortPodsOnFullNodes has three times as many short pods come at once as
// fit: each waits for an address to cool down, and for a kubelet that counts it no
// more, and runs.
func TestI9ShortPodsOnFullNodes(t *testing.T) {
	t.Parallel()
	const pods = 3 * 2 * 14 // on two t3.xlarge
	s := start(t, testenv.Options{})
	namespace := s.namespace(t)
	s.nodes(t, "win", 2, "t3.xlarge", testenv.Subnet)
	check.Must(t, s.CreatePods(t.Context(), namespace, "short", pods, completeAfter(time.Second)))
	s.awaitEnded(t, namespace, pods)
}

// awaitEnded waits until all pods of a namespace have ended by themselves, and there
// are n of them.
func (s *system) awaitEnded(t *testing.T, namespace string, n int) {
	t.Helper()
	check.Must(t, s.Until(t.Context(), fmt.Sprintf("%d pods have ended", n), func(ctx context.Context) error {
		now, err := s.Tally(ctx, namespace)
		if err != nil {
			return err
		}
		if len(now.Rejected) > 0 {
			t.Fatalf("I9: kubelets have rejected %d pods: %s", len(now.Rejected), strings.Join(now.Rejected[:min(3, len(now.Rejected))], "; "))
		}
		if now.Pods != n || now.Running > 0 || len(now.Waiting) > 0 {
			return fmt.Errorf("of %d pods %d run and %d wait", now.Pods, now.Running, len(now.Waiting))
		}
		return nil
	}))
}
