package privileges

import (
	"context"
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// TestManage goes through all that Slotwise does as an allocator, in the overlay
// eks: it has all permissions of self-managed, and those for the hand-over from
// AWS's managed controller.
func TestManage(t *testing.T) {
	const node, pods = "managed", 3
	e := start(t, testenv.EKS)
	namespace := e.NewNamespace(t)
	check.Must(t, check.ErrorOf(e.AddNode(t.Context(), node, "t3.large", testenv.Subnet)))
	check.Must(t, e.CreatePods(t.Context(), namespace, "pod", pods))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, pods))
	awaitNodeSlots(t, e, node)
	disown(t, e, node)
	rename(t, e, node)

	bindByOthers(t, e, namespace, node)
	bindNobody(t, e, namespace, node)
	double(t, e, namespace, "pod-0", "pod-1")
	misspell(t, e, types.NamespacedName{Namespace: testenv.Namespace, Name: "slotwise"})
	for _, on := range []bool{true, false, true, false} { // what happens twice is one event, a series
		managedController(t, e, namespace, on)
	}
	check.Must(t, e.AwaitEvent(t.Context(), "ConfigMap", testenv.ConfigMap.Namespace, testenv.ConfigMap.Name, events.ReasonOtherController, "acts as if it were off"))
	check.Must(t, e.PrefixMode(t.Context(), true))
	check.Must(t, e.Until(t.Context(), "free secondary IPs are given back", func(context.Context) error {
		if e.EC2.Counts()["UnassignPrivateIpAddresses"] == 0 {
			return errors.New("none was")
		}
		return nil
	}))
	scrapeStandby(t, e)

	checkRBAC(t, e, "overlays/eks", slotwise, nil)
	checkRBAC(t, e, "overlays/eks", "slotwise-scheduler", nil)
	checkIAM(t, e, "iam/manage.json")
}
