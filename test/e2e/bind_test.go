package e2e

import (
	"strings"
	"testing"

	"slotwise.dev/slotwise/test/bed"
)

// TestI4PodIsBoundWithItsAddress lets a burst of pods come to nodes that must
// get most of the addresses from EC2 first. An observer who sees every version
// of every pod sees none on a node without its address.
func TestI4PodIsBoundWithItsAddress(t *testing.T) {
	t.Parallel()
	const group, pods = "burst", 3 * 5 * 16
	s := shared(t)
	namespace := s.namespace(t)
	s.nodes(t, group, 3, "t3.medium", bed.Subnet)
	must(t, s.CreatePods(t.Context(), namespace, "pod", pods, bed.OnGroup(group)))
	must(t, s.AwaitRunning(t.Context(), namespace, pods))

	bound := 0
	for _, p := range s.observer.Pods() {
		if !strings.HasPrefix(p.Name, namespace+"/") || p.Bound.IsZero() {
			continue
		}
		bound++
		if p.Bare() {
			t.Errorf("%s was bound %s before it had its address", p.Name, p.Addressed.Sub(p.Bound))
		}
	}
	if bound != pods {
		t.Errorf("%d pods were seen bound, want %d", bound, pods)
	}
}
