package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// TestLookFromOutside has the commands that only look see what Slotwise itself shows: of
// a node with pods, what is there is what it advertises.
func TestLookFromOutside(t *testing.T) {
	t.Parallel()
	const pods = 5
	e := shared(t)
	namespace := e.namespace(t)
	node := e.nodes(t, "seen", 1, "t3.medium", testenv.Subnet)[0]
	check.Must(t, e.CreatePods(t.Context(), namespace, "pod", pods, testenv.OnNode(node)))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, pods))

	check.Must(t, e.Until(t.Context(), "both say the same", func(ctx context.Context) error {
		out, err := e.RunSlotwise(ctx, "nodes", "-o", "json")
		if err != nil {
			return err
		}
		var seen struct {
			Nodes []struct {
				Name                              string
				Pods, InUse, There, Promised, Gap int
			}
		}
		check.Must(t, json.Unmarshal([]byte(out), &seen))
		shown, err := e.Capacity(ctx, node)
		if err != nil {
			return err
		}
		for _, n := range seen.Nodes {
			if n.Name == node && n.Pods == pods && n.InUse == pods && n.There == shown.Advertised && n.Promised == 5*16 && n.Gap == 0 {
				return nil
			}
		}
		return fmt.Errorf("Slotwise shows %+v, and what is seen is\n%s", shown, out)
	}))

	picture, err := e.RunSlotwise(t.Context(), "ui", "--svg", "-")
	check.Must(t, err)
	if !strings.HasPrefix(picture, "<svg") || !strings.Contains(picture, "AWS&#39;s formula promises") {
		t.Errorf("the picture begins with %.200s", picture)
	}
	// Nothing runs the Deployment here, so something is bad.
	if out, err := e.RunSlotwise(t.Context(), "check"); err == nil || !strings.Contains(out, "webhook") || !strings.Contains(out, "no replica is available") {
		t.Errorf("check says, with error %v:\n%s", err, out)
	}
}
