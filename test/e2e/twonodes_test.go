package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
)

// TestI5InstanceRegistersAgain has the kubelet of a node with 20 pods register under
// another name, as after a change of the host's name. An event says which of the two
// Nodes offers nothing, the other offers what the pods of both leave; and once the old
// one has gone, pods run on the new one at once. That no prefix is unassigned under pods
// is for the witness to say.
func TestI5InstanceRegistersAgain(t *testing.T) {
	t.Parallel()
	const (
		second = "second"
		held   = 20 // on two prefixes
		late   = 12 // which these have beside
	)
	e := shared(t)
	namespace := e.namespace(t)
	first := e.nodes(t, "first", 1, "t3.medium", testenv.Subnet)[0]
	check.Must(t, e.CreatePods(t.Context(), namespace, "pod", held, testenv.OnNode(first)))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, held))
	e.awaitBlocks(t, first, 2, 0)
	var old corev1.Node
	check.Must(t, e.Kube.Get(t.Context(), client.ObjectKey{Name: first}, &old))
	e.witness.Node(second, e.Interface(first))
	check.Must(t, check.ErrorOf(e.Cluster.AddNode(t.Context(), controlplane.Node{
		Name: second, ProviderID: old.Spec.ProviderID, InstanceType: "t3.medium", Windows: true,
	})))

	// Both are Ready, and EC2 calls the instance by neither name: the newest offers.
	check.Must(t, e.AwaitEvent(t.Context(), "Node", "", first, events.ReasonDuplicateNode, second))
	check.Must(t, e.Until(t.Context(), "the second offers what pods of both leave", func(ctx context.Context) error {
		got, err := e.Capacity(ctx, second)
		if err == nil && (got.Remaining != 5*16-held || got.Advertised < got.Remaining || got.Advertised > 5*16) {
			err = fmt.Errorf("it shows %+v", got)
		}
		return err
	}))

	check.Must(t, e.DeleteNode(t.Context(), first))
	check.Must(t, e.CreatePods(t.Context(), namespace, "late", late, testenv.OnNode(second)))
	began := time.Now()
	e.awaitNamed(t, namespace, "late", late)
	if took := time.Since(began); took > 15*time.Second { // less than a cooldown
		t.Errorf("pods ran on the new Node after %s, want no rest for addresses that were free", took.Round(time.Second))
	}
	e.eachItsOwn(t, namespace, first)
}

// eachItsOwn checks that the pods of a namespace have addresses, each its own, that the
// interface of a node has.
func (e *env) eachItsOwn(t *testing.T, namespace, node string) {
	t.Helper()
	taken := map[netip.Addr]bool{}
	for name, address := range e.addresses(t, namespace) {
		if taken[address] {
			t.Errorf("I1: %s has the address %s of another pod", name, address)
		}
		taken[address] = true
		if !slices.ContainsFunc(e.Interface(node).Prefixes, func(p netip.Prefix) bool { return p.Contains(address) }) {
			t.Errorf("%s has %s, which is not on the interface", name, address)
		}
	}
}
