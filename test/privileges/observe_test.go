package privileges

import (
	"context"
	"testing"

	"slotwise.dev/slotwise/test/awsallocator"
	"slotwise.dev/slotwise/test/bed"
	"slotwise.dev/slotwise/test/check"
)

// TestObserve goes through all that Slotwise does beside AWS's own controller.
func TestObserve(t *testing.T) {
	const node, pods = "watched", 2
	b := start(t, bed.Observe, "--observe-interval=2s")
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- awsallocator.Run(ctx, b.Client, b.EC2) }()
	t.Cleanup(func() {
		end()
		check.Must(t, <-ended)
	})
	namespace := b.NewNamespace(t)
	check.Must(t, check.ErrorOf(b.AddNode(t.Context(), node, "t3.large", bed.Subnet)))
	check.Must(t, b.CreatePods(t.Context(), namespace, "pod", pods))
	check.Must(t, b.AwaitRunning(t.Context(), namespace, pods))
	bindNobody(t, b, namespace, node)
	misspell(t, b, bed.ConfigMap)
	awaitNodeSlots(t, b, node)
	disown(t, b, node)
	rename(t, b, node)
	scrapeStandby(t, b)

	checkRBAC(t, b, "overlays/observe", slotwise, map[string]string{
		"patch events.events.k8s.io": "an event that happens again is one with a count; TestManage has that",
	})
	checkRBAC(t, b, "overlays/observe", "slotwise-scheduler", nil)
	checkIAM(t, b, "iam/observe.json")
}
