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
		fits = 16 // on a node of one slot
		jobs = 10 // on each node
		next = fits - jobs
	)
	e := shared(t)
	namespace := e.namespace(t)
	names := e.nodes(t, "jobs", 3, oneSlot.Name, testenv.Subnet)
	for _, name := range names {
		check.Must(t, e.CreatePods(t.Context(), namespace, "job-"+name, jobs, testenv.OnNode(name), completeAfter(2*time.Second)))
	}
	e.awaitEnded(t, namespace, len(names)*jobs)
	for _, name := range names {
		check.Must(t, e.CreatePods(t.Context(), namespace, "next-"+name, next, testenv.OnNode(name)))
	}
	check.Must(t, e.AwaitRunning(t.Context(), namespace, len(names)*next))
}

// TestI9ShortPodsOnFullNodes has twice as many short pods come at once as fit: each
// waits for an address to cool down, and for a kubelet that counts it no more, and runs.
func TestI9ShortPodsOnFullNodes(t *testing.T) {
	t.Parallel()
	const group, pods = "short", 2 * 2 * 16 // on two nodes of one slot
	e := shared(t)
	namespace := e.namespace(t)
	e.nodes(t, group, 2, oneSlot.Name, testenv.Subnet)
	check.Must(t, e.CreatePods(t.Context(), namespace, "short", pods, testenv.OnGroup(group), completeAfter(time.Second)))
	e.awaitEnded(t, namespace, pods)
}

// awaitEnded waits until all pods of a namespace have ended by themselves, and there
// are n of them.
func (e *env) awaitEnded(t *testing.T, namespace string, n int) {
	t.Helper()
	check.Must(t, e.Until(t.Context(), fmt.Sprintf("%d pods have ended", n), func(ctx context.Context) error {
		now, err := e.Tally(ctx, namespace)
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
