package e2e

import (
	"net/netip"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// TestI8SchedulerIsWoken has a pod wait until something changes that is no
// event to the scheduler, in a cluster where nothing else happens. By itself the
// scheduler would try such a pod again after 5 minutes.
func TestI8SchedulerIsWoken(t *testing.T) {
	t.Parallel()
	const node, subnet = "quiet", "subnet-small"
	e := start(t, testenv.Options{})
	namespace := e.namespace(t)
	cidr := e.subnet(t, subnet, 43, 27)
	check.Must(t, check.ErrorOf(e.AddNode(t.Context(), node, "t3.medium", subnet)))
	e.awaitBlocks(t, node, 0, 3)

	// Slotwise is switched on.
	check.Must(t, e.Configure(t.Context(), map[string]string{settings.KeyEnabled: "false"}))
	e.awaitWebhook(t, namespace, false)
	check.Must(t, e.CreatePods(t.Context(), namespace, "asks", 1, asking))
	check.Must(t, check.ErrorOf(e.AwaitTurnedAway(t.Context(), namespace, 1)))
	e.configure(t)
	check.Must(t, e.AwaitRunning(t.Context(), namespace, 1))
	e.awaitWebhook(t, namespace, true)

	// The subnet has room again.
	e.awaitBlocks(t, node, 0, 4) // one of them held
	giveBack := e.fill(t, subnet, cidr)
	check.Must(t, e.CreatePods(t.Context(), namespace, "pod", 4))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, 4))
	check.Must(t, check.ErrorOf(e.AwaitTurnedAway(t.Context(), namespace, 1)))
	check.Must(t, e.AwaitEvent(t.Context(), "Node", "", node, events.ReasonNoAddresses, "InsufficientFreeAddressesInSubnet"))
	giveBack()
	check.Must(t, e.AwaitRunning(t.Context(), namespace, 5))

	// An address has cooled down.
	check.Must(t, e.CreatePods(t.Context(), namespace, "last", 1))
	check.Must(t, check.ErrorOf(e.AwaitTurnedAway(t.Context(), namespace, 1)))
	check.Must(t, e.Kube.Delete(t.Context(), testenv.Pod(namespace, "asks-0"), client.GracePeriodSeconds(0)))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, 5))
}

// fill has somebody take every address of a subnet that is free.
func (e *env) fill(t *testing.T, subnet string, cidr netip.Prefix) (giveBack func()) {
	t.Helper()
	var all []func()
	for a := cidr.Addr(); cidr.Contains(a); a = a.Next() {
		if giveBack, err := e.EC2.Occupy(subnet, netip.PrefixFrom(a, 32)); err == nil {
			all = append(all, giveBack)
		}
	}
	return func() {
		for _, giveBack := range all {
			giveBack()
		}
	}
}
