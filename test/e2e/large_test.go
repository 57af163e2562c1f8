package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// TestPodsFindTheNodesWithRoom is a switch to prefixes in a cluster of 120 nodes,
// 108 of which are full, which no formula would tell: each has its only slot
// taken by a secondary IP. The scheduler looks at a sample of the nodes; were it
// to count on the full ones, it would find a whole sample of them.
func TestPodsFindTheNodesWithRoom(t *testing.T) {
	t.Parallel()
	const (
		full = 108
		room = 12
		fits = room * 16
	)
	// Each node needs a call or two at once: no test of pacing, this.
	e := start(t, testenv.Options{Args: []string{"--ec2-change-burst=1000", "--ec2-change-rate=1000"}})
	namespace := e.namespace(t)
	e.nodes(t, "full", full, oneSlot.Name, testenv.Subnet)
	e.nodes(t, "room", room, oneSlot.Name, testenv.Subnet)
	check.Must(t, e.CreatePods(t.Context(), namespace, "old", full, testenv.OnGroup("full")))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, full))

	check.Must(t, e.PrefixMode(t.Context(), true))
	e.awaitRemaining(t, "full-", 0)
	e.awaitRemaining(t, "room-", 16)
	check.Must(t, e.CreatePods(t.Context(), namespace, "new", fits))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, full+fits))

	// One more finds all 120 full, by what they advertise.
	check.Must(t, e.CreatePods(t.Context(), namespace, "more", 1))
	message, err := e.AwaitTurnedAway(t.Context(), namespace, 1)
	check.Must(t, err)
	const want = "0/120 nodes are available: 120 Insufficient vpc.amazonaws.com/PrivateIPv4Address."
	if !strings.HasPrefix(message, want) {
		t.Errorf("the scheduler says %q, want %q", message, want)
	}
	e.noEC2Errors(t)
}

// awaitRemaining waits until all nodes whose name begins so show the same
// remaining capacity.
func (e *env) awaitRemaining(t *testing.T, prefix string, want int) {
	t.Helper()
	check.Must(t, e.Until(t.Context(), fmt.Sprintf("nodes %s... show %d remaining", prefix, want), func(ctx context.Context) error {
		var nodes corev1.NodeList
		if err := e.Kube.List(ctx, &nodes); err != nil {
			return err
		}
		for i := range nodes.Items {
			n := &nodes.Items[i]
			if !strings.HasPrefix(n.Name, prefix) {
				continue
			}
			c, err := testenv.CapacityOf(n)
			if err != nil {
				return fmt.Errorf("%s: %w", n.Name, err)
			}
			if c.Remaining != want {
				return fmt.Errorf("%s shows %+v", n.Name, c)
			}
		}
		return nil
	}))
}
