package privileges

import (
	"context"
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/test/bed"
	"slotwise.dev/slotwise/test/check"
)

// TestManage goes through all that Slotwise does as an allocator, in the overlay
// eks: it has all permissions of self-managed, and those for the hand-over from
// AWS's managed controller.
func TestManage(t *testing.T) {
	const node, pods = "managed", 3
	b := start(t, bed.EKS)
	namespace := b.NewNamespace(t)
	check.Must(t, check.ErrorOf(b.AddNode(t.Context(), node, "t3.large", bed.Subnet)))
	check.Must(t, b.CreatePods(t.Context(), namespace, "pod", pods))
	check.Must(t, b.AwaitRunning(t.Context(), namespace, pods))
	awaitNodeSlots(t, b, node)
	disown(t, b, node)
	rename(t, b, node)

	bindByOthers(t, b, namespace, node)
	bindNobody(t, b, namespace, node)
	double(t, b, namespace, "pod-0", "pod-1")
	misspell(t, b, types.NamespacedName{Namespace: bed.Namespace, Name: "slotwise"})
	for _, on := range []bool{true, false, true, false} { // what happens twice is one event, a series
		managedController(t, b, namespace, on)
	}
	check.Must(t, b.AwaitEvent(t.Context(), "ConfigMap", bed.ConfigMap.Namespace, bed.ConfigMap.Name, events.ReasonOtherController, "acts as if it were off"))
	check.Must(t, b.PrefixMode(t.Context(), true))
	check.Must(t, b.Until(t.Context(), "free secondary IPs are given back", func(context.Context) error {
		if b.EC2.Counts()["UnassignPrivateIpAddresses"] == 0 {
			return errors.New("none was")
		}
		return nil
	}))
	scrapeStandby(t, b)

	checkRBAC(t, b, "overlays/eks", slotwise, nil)
	checkRBAC(t, b, "overlays/eks", "slotwise-scheduler", nil)
	checkIAM(t, b, "iam/manage.json")
}
