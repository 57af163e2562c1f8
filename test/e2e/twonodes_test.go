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

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
)

// TestI5InstanceRegistersAgain has the kubelet of a node with 20 pods register under
// another name, as after a change of the host's name. No prefix is unassigned under the
// pods; an event says which of the two Nodes offers nothing; and once the old one has
// gone, pods run on the new one at once.
func TestI5InstanceRegistersAgain(t *testing.T) {
	t.Parallel()
	const (
		held = 20 // on two prefixes
		late = 12 // which these have beside
	)
	s := start(t, testenv.Options{Settings: prefixMode})
	namespace := s.NewNamespace(t) // pods of the old Node live on without it
	first := s.nodes(t, "first", 1, "t3.medium", testenv.Subnet)[0]
	check.Must(t, s.CreatePods(t.Context(), namespace, "pod", held, testenv.OnNode(first)))
	check.Must(t, s.AwaitRunning(t.Context(), namespace, held))
	s.awaitBlocks(t, first, 2, 0)
	blocks := s.Interface(first).Prefixes
	var old corev1.Node
	check.Must(t, s.Kube.Get(t.Context(), client.ObjectKey{Name: first}, &old))
	check.Must(t, check.ErrorOf(s.Cluster.AddNode(t.Context(), controlplane.Node{
		Name: "second", ProviderID: old.Spec.ProviderID, InstanceType: "t3.medium", Windows: true,
	})))

	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(time.Second) {
		for _, block := range blocks {
			if !slices.Contains(s.Interface(first).Prefixes, block) {
				t.Fatalf("I5: %s was unassigned under pods that live, %s after the second Node had come", block, time.Since(began).Round(time.Second))
			}
		}
	}
	// Both are Ready, and EC2 calls the instance by neither name: the newest offers.
	check.Must(t, s.AwaitEvent(t.Context(), "Node", "", first, "DuplicateNode", "second"))
	check.Must(t, s.Until(t.Context(), "the second offers what pods of both leave", func(ctx context.Context) error {
		got, err := s.Capacity(ctx, "second")
		if err == nil && (got.Remaining != 5*16-held || got.Advertised < got.Remaining || got.Advertised > 5*16) {
			err = fmt.Errorf("it shows %+v", got)
		}
		return err
	}))

	check.Must(t, s.DeleteNode(t.Context(), first))
	check.Must(t, s.CreatePods(t.Context(), namespace, "late", late, testenv.OnNode("second")))
	began := time.Now()
	s.awaitNamed(t, namespace, "late", late)
	if took := time.Since(began); took > 15*time.Second { // less than a cooldown
		t.Errorf("pods ran on the new Node after %s, want no rest for addresses that were free", took.Round(time.Second))
	}
	s.eachItsOwn(t, namespace, first)
}

// eachItsOwn checks that the pods of a namespace have addresses, each its own, that the
// interface of a node has.
func (s *system) eachItsOwn(t *testing.T, namespace, node string) {
	t.Helper()
	taken := map[netip.Addr]bool{}
	for name, address := range s.addresses(t, namespace) {
		if taken[address] {
			t.Errorf("I1: %s has the address %s of another pod", name, address)
		}
		taken[address] = true
		if !slices.ContainsFunc(s.Interface(node).Prefixes, func(p netip.Prefix) bool { return p.Contains(address) }) {
			t.Errorf("%s has %s, which is not on the interface", name, address)
		}
	}
}
