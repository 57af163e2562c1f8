package privileges

import (
	"context"
	"testing"

	"slotwise.dev/slotwise/test/awsallocator"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// TestObserve goes through all that Slotwise does beside AWS's own controller.
func TestObserve(t *testing.T) {
	const node, pods = "watched", 2
	e := start(t, testenv.Observe, "--observe-interval=2s")
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- awsallocator.Run(ctx, e.Client, e.EC2) }()
	t.Cleanup(func() {
		end()
		check.Must(t, <-ended)
	})
	namespace := e.NewNamespace(t)
	check.Must(t, check.ErrorOf(e.AddNode(t.Context(), node, "t3.large", testenv.Subnet)))
	check.Must(t, e.CreatePods(t.Context(), namespace, "pod", pods))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, pods))
	bindNobody(t, e, namespace, node)
	misspell(t, e, testenv.ConfigMap)
	awaitNodeSlots(t, e, node)
	disown(t, e, node)
	rename(t, e, node)
	scrapeStandby(t, e)

	checkRBAC(t, e, "overlays/observe", slotwise, map[string]string{
		"patch events.events.k8s.io": "an event that happens again is one with a count; TestManage has that",
	})
	checkRBAC(t, e, "overlays/observe", "slotwise-scheduler", nil)
	checkIAM(t, e, "iam/observe.json")
}
