package e2e

import (
	"context"
	"fmt"
	"testing"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// TestI4PodIsBoundWithItsAddress lets a burst of pods come to nodes that must
// get most of the addresses from EC2 first. The witness, who sees every version
// of every pod, sees none on a node without its address.
func TestI4PodIsBoundWithItsAddress(t *testing.T) {
	t.Parallel()
	const group, pods = "burst", 3 * 5 * 16
	e := shared(t)
	namespace := e.namespace(t)
	e.nodes(t, group, 3, "t3.medium", testenv.Subnet)
	check.Must(t, e.CreatePods(t.Context(), namespace, "pod", pods, testenv.OnGroup(group)))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, pods))

	// The witness may lag behind the pods' own state.
	check.Must(t, e.Until(t.Context(), "the witness has seen all pods bound", func(context.Context) error {
		if bound := len(e.lives(namespace)); bound != pods {
			return fmt.Errorf("%d pods were seen bound, want %d", bound, pods)
		}
		return nil
	}))
}
