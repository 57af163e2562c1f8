package faults

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestAPIServerRestarts takes the real API server away and brings it back. It has
// the server to itself: tests in parallel begin later.
func TestAPIServerRestarts(t *testing.T) {
	h := start(t, prefixMode)
	n := h.node(threeSlots)
	pods, waiting := h.bound(8, n), h.pods(1)[0]
	if err := shared.APIServer.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := h.bind(waiting, n); err == nil {
		t.Error("a pod was bound without an API server")
	}
	if err := shared.APIServer.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.delete(pods[:4]...)
	h.await("a pod can be bound again", func() error { return h.bind(waiting, n) })
	h.awaitAgreement(n)
}

// TestConflicts has every write for every object refused once because another one
// was quicker. In the end all is written.
func TestConflicts(t *testing.T) {
	t.Parallel()
	h := start(t, prefixMode)
	h.wire.inject(writes, first(conflict))
	n := h.node(fiveSlots)
	h.awaitRemaining(n, 5*16)

	pods := h.pods(4)
	for _, err := range h.bindAll(pods, n) {
		if err == nil {
			t.Error("the bind did not tell of the conflict")
		}
	}
	for _, p := range pods { // each request for a pod meets a conflict once
		h.await("the pod is bound", func() error { return h.bind(p, n) })
	}

	foreign := h.pods(4, ofAnother)
	h.placeByHand(n, foreign...)
	for _, p := range foreign {
		h.await("a pod that another scheduler placed has its address", func() error {
			if !h.address(p).IsValid() {
				return errors.New("it has none")
			}
			return nil
		})
	}
	h.awaitRemaining(n, 5*16-8)
	h.awaitAgreement(n)
}

// placeByHand binds pods without an address, as another scheduler does.
func (h *harness) placeByHand(n node, pods ...*corev1.Pod) {
	h.t.Helper()
	errs := make([]error, len(pods))
	each(len(pods), func(i int) {
		errs[i] = shared.Client.CoreV1().Pods(h.namespace).Bind(h.t.Context(), &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: pods[i].Name},
			Target:     corev1.ObjectReference{Kind: "Node", Name: n.name},
		}, metav1.CreateOptions{})
	})
	h.must(errors.Join(errs...))
}
