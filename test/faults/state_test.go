package faults

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/ec2sim"
)

// slots reads the NodeSlots object of a node.
func (h *harness) slots(n node) (v1alpha1.NodeSlotsStatus, error) {
	var o v1alpha1.NodeSlots
	err := shared.Kube.Get(h.t.Context(), client.ObjectKey{Name: n.name}, &o)
	return o.Status, err
}

// books are what is said of a node's network interface and its pods.
type books struct{ secondaryIPs, prefixes, inUse, waiting int }

// awaitAgreement waits until the books of a node are what EC2 has and what the API
// server says: no slot is lost, no pod forgotten (I6).
func (h *harness) awaitAgreement(n node) {
	h.t.Helper()
	h.await("I6: ledger, EC2 and the API server agree about "+n.name, func() error {
		shown, err := h.slots(n)
		if err != nil {
			return err
		}
		if shown.NetworkInterface != n.eni {
			return fmt.Errorf("the ledger is of %q, want %q", shown.NetworkInterface, n.eni)
		}
		eni := h.eni(n)
		want := books{secondaryIPs: len(eni.Addresses), prefixes: len(eni.Prefixes), inUse: h.live(n)}
		got := books{int(shown.SecondaryIPs), int(shown.Prefixes), int(shown.InUse), int(shown.Waiting)}
		if got != want {
			return fmt.Errorf("the ledger says %+v, want %+v", got, want)
		}
		return nil
	})
}

// live counts the pods of a node that have an address and have not ended.
func (h *harness) live(n node) int {
	h.t.Helper()
	var pods corev1.PodList
	h.must(shared.Kube.List(h.t.Context(), &pods, client.InNamespace(h.namespace)))
	pods.Items = slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool {
		return p.Spec.NodeName != n.name || p.Annotations[vpc.Annotation] == "" ||
			p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	})
	return len(pods.Items)
}

// awaitNodeEvent waits for an event on a node whose note contains a text.
func (h *harness) awaitNodeEvent(n node, reason, text string) {
	h.t.Helper()
	h.must(shared.AwaitEvent(h.t.Context(), "Node", "", n.name, reason, text))
}

// metric is the sum of a metric of the running process over all its series with the
// labels.
func (h *harness) metric(name string, labels map[string]string) (sum float64) {
	h.t.Helper()
	families, err := h.metrics.Gather()
	h.must(err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if hasLabels(m.GetLabel(), labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() // it is one of the two
			}
		}
	}
	return sum
}

// label is a label of a metric's series.
type label interface {
	GetName() string
	GetValue() string
}

// hasLabels says that the labels wanted are among those of a series.
func hasLabels[L label](series []L, wanted map[string]string) bool {
	has := 0
	for _, l := range series {
		if value, asked := wanted[l.GetName()]; asked && value == l.GetValue() {
			has++
		}
	}
	return has == len(wanted)
}

// calls lists the calls of an action that EC2 has got.
func (h *harness) calls(action string) []ec2sim.Call {
	return slices.DeleteFunc(h.ec2.Calls(), func(c ec2sim.Call) bool { return c.Action != action })
}

// has says what is wrong where a node has not so many secondary IPs and prefixes
// in EC2.
func (h *harness) has(n node, secondaryIPs, prefixes int) error {
	if eni := h.eni(n); len(eni.Addresses) != secondaryIPs || len(eni.Prefixes) != prefixes {
		return fmt.Errorf("%s has %d secondary IPs and %d prefixes, want %d and %d",
			n.name, len(eni.Addresses), len(eni.Prefixes), secondaryIPs, prefixes)
	}
	return nil
}
