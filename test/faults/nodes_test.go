package faults

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/util/rand"

	"slotwise.dev/slotwise/allocator/capacity"
	slotwisesettings "slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
)

// node is a Windows node of a test.
type node struct {
	name, instance, eni string
}

// Instance types with few slots: the pods that fill them are quickly made.
const (
	fiveSlots  = "t3.medium"
	threeSlots = "t3.small"
)

// node adds a Windows node and waits until addresses can be had on it, its warm pool
// included.
func (h *harness) node(instanceType string) node {
	h.t.Helper()
	n := h.join(instanceType)
	h.awaitReady(n)
	return n
}

// join starts an instance that joins the cluster as a Windows node.
func (h *harness) join(instanceType string) node {
	h.t.Helper()
	n := node{name: h.namespace + "-" + rand.String(5), instance: "i-0" + rand.String(16)}
	eni, err := h.ec2.AddInstance(ec2sim.Instance{ID: n.instance, Type: instanceType, Subnet: h.subnet})
	h.must(err)
	n.eni = eni.ID
	h.witness.Node(n.name, eni)
	shared.NewNode(h.t, n.object(h.namespace, instanceType))
	return n
}

// object is the node as its kubelet registers it.
func (n node) object(test, instanceType string) controlplane.Node {
	return controlplane.Node{
		Name: n.name, ProviderID: "aws:///" + testenv.Zone + "/" + n.instance, InstanceType: instanceType,
		Windows: true, Labels: map[string]string{testLabel: test},
	}
}

// awaitReady waits until a node has free addresses.
func (h *harness) awaitReady(n node) {
	h.t.Helper()
	h.await("node "+n.name+" has free addresses", func() error {
		if r := h.room(n); r.Free == 0 {
			return fmt.Errorf("it has room %+v", r)
		}
		return nil
	})
}

// room is what a node can give, as the extender's filter reads it.
func (h *harness) room(n node) (r capacity.Room) {
	h.View(capacity.Pod{}, func(lookup func([]byte) capacity.Room) { r = lookup([]byte(n.name)) })
	return r
}

// remaining is a node's true remaining capacity.
func (h *harness) remaining(n node) int {
	r := h.room(n)
	return int(r.Free + r.Obtainable)
}

// awaitRemaining waits until a node can give exactly so many more addresses, and
// the Node object says so: that is what wakes the scheduler.
func (h *harness) awaitRemaining(n node, want int) {
	h.t.Helper()
	h.await(fmt.Sprintf("node %s shows %d addresses remaining", n.name, want), func() error {
		shown, err := shared.Capacity(h.t.Context(), n.name)
		if got := h.remaining(n); got != want || err != nil || shown.Remaining != want {
			return errors.Join(fmt.Errorf("it has %+v, and shows %+v", h.room(n), shown), err)
		}
		return nil
	})
}

// eni is what a node's network interface has in EC2 now.
func (h *harness) eni(n node) ec2sim.Interface {
	i, _ := h.ec2.Interface(n.eni)
	return i
}

// TestModeOfALabel switches one of two nodes by its label, with pods running, and back. The
// other one stays with the ConfigMap's mode.
func TestModeOfALabel(t *testing.T) {
	t.Parallel()
	h := start(t, secondaryMode)
	labelled, other := h.node(fiveSlots), h.node(fiveSlots)
	h.bound(2, labelled)

	ofPrefix := func(n node) bool {
		a := h.address(h.bound(1, n)[0])
		return slices.ContainsFunc(h.eni(n).Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	for _, step := range []struct{ value, mode string }{{`"prefix"`, "prefix"}, {"null", "secondary-ip"}} {
		h.must(h.patchNode(labelled, fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, slotwisesettings.LabelMode, step.value)))
		h.await(labelled.name+" is in mode "+step.mode, func() error {
			shown, err := h.slots(labelled)
			if err == nil && shown.Mode != step.mode {
				err = fmt.Errorf("it is in mode %s", shown.Mode)
			}
			return err
		})
		if got := ofPrefix(labelled); got != (step.mode == "prefix") {
			t.Errorf("label %s: the address of a new pod is out of a prefix: %t", step.value, got)
		}
		if ofPrefix(other) {
			t.Errorf("label %s on the other node: the address of a new pod is out of a prefix", step.value)
		}
	}
}
