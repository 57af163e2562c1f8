package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// TestI4PodIsBoundWithItsAddress lets a burst of pods come to nodes that must
// get most of the addresses from EC2 first. An observer who sees every version
// of every pod sees none on a node without its address.
func TestI4PodIsBoundWithItsAddress(t *testing.T) {
	t.Parallel()
	const group, pods = "burst", 3 * 5 * 16
	s := shared(t)
	namespace := s.namespace(t)
	s.nodes(t, group, 3, "t3.medium", testenv.Subnet)
	check.Must(t, s.CreatePods(t.Context(), namespace, "pod", pods, testenv.OnGroup(group)))
	check.Must(t, s.AwaitRunning(t.Context(), namespace, pods))

	// The observer may lag behind the pods' own state.
	var bare []testenv.Sighting
	check.Must(t, s.Until(t.Context(), "the observer has seen all pods bound", func(context.Context) error {
		var bound int
		if bound, bare = s.seenBound(namespace); bound != pods {
			return fmt.Errorf("%d pods were seen bound, want %d", bound, pods)
		}
		return nil
	}))
	for _, p := range bare {
		t.Errorf("%s was bound %s before it had its address", p.Name, p.Addressed.Sub(p.Bound))
	}
}

// seenBound counts the pods of a namespace that the observer has seen bound, and
// lists those that were bound without an address.
func (s *system) seenBound(namespace string) (bound int, bare []testenv.Sighting) {
	for _, p := range s.seen(namespace) {
		bound++
		if p.Bare() {
			bare = append(bare, p)
		}
	}
	return bound, bare
}

// seen are the pods of a namespace that the observer has seen bound.
func (s *system) seen(namespace string) []testenv.Sighting {
	return slices.DeleteFunc(s.observer.Pods(), func(p testenv.Sighting) bool {
		return !strings.HasPrefix(p.Name, namespace+"/") || p.Bound.IsZero()
	})
}
