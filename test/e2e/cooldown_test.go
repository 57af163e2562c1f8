package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
)

// TestI2AddressRestsAfterItsPod fills a node and ends some of its pods, in each
// of the ways in which pods end. Pods that wait get the very addresses of these,
// and none before 30 s.
func TestI2AddressRestsAfterItsPod(t *testing.T) {
	t.Parallel()
	e := shared(t)
	// How pods end; each returns when the pod was alive for the last time, as somebody
	// knows who cannot look inside.
	ends := map[string]func(p *corev1.Pod) time.Time{
		"deleted": func(p *corev1.Pod) time.Time {
			now := time.Now()
			check.Must(t, e.Kube.Delete(t.Context(), p, client.GracePeriodSeconds(0)))
			return now
		},
		"fails": func(p *corev1.Pod) time.Time {
			now := time.Now()
			p.Status.Phase = corev1.PodFailed
			check.Must(t, e.Kube.Status().Update(t.Context(), p))
			return now
		},
		"succeeds": func(p *corev1.Pod) time.Time { // by itself
			return p.Status.ContainerStatuses[0].State.Terminated.FinishedAt.Time
		},
	}
	const (
		node = "resting"
		fits = 16 // one prefix
		each = 2  // pods that end in each way
	)
	ended := len(ends) * each
	namespace := e.namespace(t)
	check.Must(t, check.ErrorOf(e.AddNode(t.Context(), node, oneSlot.Name, testenv.Subnet)))
	check.Must(t, e.CreatePods(t.Context(), namespace, "stays", fits-ended, testenv.OnNode(node)))
	check.Must(t, e.CreatePods(t.Context(), namespace, "deleted", each, testenv.OnNode(node)))
	check.Must(t, e.CreatePods(t.Context(), namespace, "fails", each, testenv.OnNode(node)))
	check.Must(t, e.CreatePods(t.Context(), namespace, "succeeds", each, testenv.OnNode(node), completeAfter(time.Second)))
	e.awaitSucceeded(t, namespace, "succeeds", each)
	check.Must(t, e.AwaitRunning(t.Context(), namespace, fits-each))

	lastUse := map[netip.Addr]time.Time{}
	for name, end := range ends {
		for i := range each {
			p := e.pod(t, namespace, fmt.Sprint(name, "-", i))
			a := address(t, p)
			lastUse[a] = end(p)
		}
	}
	check.Must(t, e.CreatePods(t.Context(), namespace, "next", ended, testenv.OnNode(node)))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, fits))

	for i := range ended {
		p := e.pod(t, namespace, fmt.Sprint("next-", i))
		last, ok := lastUse[address(t, p)]
		if rest := boundAt(p).Sub(last); !ok || rest < cooldown {
			t.Errorf("%s got %s, which had rested %s, want one that rested %s at the least", p.Name, address(t, p), rest, cooldown)
		}
		delete(lastUse, address(t, p))
	}
}

// completeAfter makes a pod succeed some time after its start.
func completeAfter(d time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Annotations = map[string]string{controlplane.CompleteAfterAnnotation: d.String()}
	}
}

// awaitSucceeded waits until the pods name-0 to name-(n-1) have succeeded.
func (e *env) awaitSucceeded(t *testing.T, namespace, name string, n int) {
	t.Helper()
	for i := range n {
		name := fmt.Sprint(name, "-", i)
		check.Must(t, e.Until(t.Context(), name+" succeeds", func(context.Context) error {
			if p := e.pod(t, namespace, name); p.Status.Phase != corev1.PodSucceeded {
				return fmt.Errorf("it is %s", p.Status.Phase)
			}
			return nil
		}))
	}
}

// boundAt is when a pod was bound. The API server cuts the time down to whole
// seconds; this is the end of the second.
func boundAt(p *corev1.Pod) time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.LastTransitionTime.Add(time.Second)
		}
	}
	return time.Time{}
}
