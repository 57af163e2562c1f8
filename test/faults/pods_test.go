package faults

import (
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/test/controlplane"
)

// TestSameNameAgain has a pod replaced by another one of the same name, as a
// StatefulSet does, before the old one is bound and after. Neither gets what is the
// other's.
func TestSameNameAgain(t *testing.T) {
	t.Parallel()
	h := start(t, prefixMode)
	n := h.node(threeSlots)
	var addresses []netip.Addr
	p := h.pods(1)[0]
	for range 4 {
		again := h.newPod(stopAfterAnHour) // or its kubelet might delete the next one of that name
		again.Name = p.Name
		h.delete(p)
		h.must(shared.Kube.Create(t.Context(), again))
		_ = h.bind(p, n) // it may have been bound before: that is no error
		if h.isBound(again) == nil {
			t.Error("a pod was bound in the place of another of its name")
		}
		h.must(h.bind(again, n))
		addresses = append(addresses, h.address(again))
		p = again
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	if len(slices.Compact(addresses)) != 4 {
		t.Errorf("I2: the pods had the addresses %v, want each another", addresses)
	}
	h.awaitAgreement(n)
}

// stopAfterAnHour has a pod's kubelet take that long to end it when it is deleted.
func stopAfterAnHour(p *corev1.Pod) {
	p.Annotations = map[string]string{controlplane.StopAfterAnnotation: "1h"}
}
