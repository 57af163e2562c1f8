package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/advertise"
	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/check"
)

// soon is how long it may take on a busy machine until what Slotwise has noticed has
// become true everywhere.
const soon = 10 * time.Second

// TestObjectsComeBack has somebody delete or change what Slotwise wrote, while nothing
// else happens in the cluster. All is as before within seconds.
func TestObjectsComeBack(t *testing.T) {
	t.Parallel()
	h := start(t, prefixMode)
	n := h.node(fiveSlots)
	h.bound(3, n)
	h.awaitRemaining(n, 5*16-3)
	h.awaitAgreement(n)
	time.Sleep(ledger.Settle + 5*time.Second) // until nothing more is done for a new node
	before := h.shown(n)

	removed := func(annotation string) string {
		return fmt.Sprintf(`{"metadata":{"annotations":{%q:null}}}`, annotation)
	}
	changed := func(annotation, value string) string {
		return fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, annotation, value)
	}
	shows := func(what, value string) string {
		return fmt.Sprintf(`{"status":{%q:{%q:%s}}}`, what, vpc.Resource, value)
	}
	for name, change := range map[string]func(h *harness, n node) error{
		"NodeSlots deleted": func(h *harness, n node) error {
			return shared.Kube.Delete(h.t.Context(), &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: n.name}})
		},
		"status of NodeSlots changed": func(h *harness, n node) error {
			o := &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: n.name}}
			patch := client.RawPatch(types.MergePatchType, []byte(`{"status":{"prefixes":5,"inUse":0,"knownFree":["10.0.0.0/8"]}}`))
			return shared.Kube.Status().Patch(h.t.Context(), o, patch)
		},
		"owner of NodeSlots removed": func(h *harness, n node) error {
			o := &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: n.name}}
			return shared.Kube.Patch(h.t.Context(), o, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"ownerReferences":null}}`)))
		},
		"remaining removed":   func(h *harness, n node) error { return h.patchNode(n, removed(advertise.AnnotationRemaining)) },
		"remaining changed":   func(h *harness, n node) error { return h.patchNode(n, changed(advertise.AnnotationRemaining, "7")) },
		"since removed":       func(h *harness, n node) error { return h.patchNode(n, removed(advertise.AnnotationSince)) },
		"since changed":       func(h *harness, n node) error { return h.patchNode(n, changed(advertise.AnnotationSince, "x")) },
		"capacity removed":    func(h *harness, n node) error { return h.patchNode(n, shows("capacity", "null"), "status") },
		"capacity changed":    func(h *harness, n node) error { return h.patchNode(n, shows("capacity", `"99"`), "status") },
		"allocatable changed": func(h *harness, n node) error { return h.patchNode(n, shows("allocatable", `"99"`), "status") },
		"both set to 0": func(h *harness, n node) error {
			if err := h.patchNode(n, shows("capacity", `"0"`), "status"); err != nil {
				return err
			}
			return h.patchNode(n, shows("allocatable", `"0"`), "status")
		},
	} {
		h.must(change(h, n))
		if h.shown(n) == before {
			t.Logf("%s: it was as before at once", name)
		}
		h.within(soon, name+": all is as before", func() error {
			if now := h.shown(n); now != before {
				return fmt.Errorf("it is\n%s, it was\n%s", now, before)
			}
			return nil
		})
	}
}

// patchNode changes a Node as anybody may who is allowed to.
func (h *harness) patchNode(n node, patch string, subresources ...string) error {
	return check.ErrorOf(shared.Client.CoreV1().Nodes().Patch(h.t.Context(), n.name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...))
}

// shown is all that Slotwise shows of a node, but for which of its addresses are known
// to be free, which may be taken back at any time, and since when it advertises what it
// does: that begins anew where somebody has undone it.
func (h *harness) shown(n node) string {
	h.t.Helper()
	var all []string
	var object corev1.Node
	h.must(shared.Kube.Get(h.t.Context(), client.ObjectKey{Name: n.name}, &object))
	_, err := time.Parse(time.RFC3339Nano, object.Annotations[advertise.AnnotationSince])
	all = append(all, fmt.Sprintf("remaining=%q since a time: %t", object.Annotations[advertise.AnnotationRemaining], err == nil))
	capacity, allocatable := object.Status.Capacity[vpc.Resource], object.Status.Allocatable[vpc.Resource]
	all = append(all, "capacity="+capacity.String(), "allocatable="+allocatable.String())

	var slots v1alpha1.NodeSlots
	if err := shared.Kube.Get(h.t.Context(), client.ObjectKey{Name: n.name}, &slots); err != nil {
		return strings.Join(append(all, "NodeSlots: "+err.Error()), " ")
	}
	for _, free := range slots.Status.KnownFree {
		if free == "10.0.0.0/8" {
			all = append(all, "a range that others wrote is known to be free")
		}
	}
	slots.Status.KnownFree = nil
	return strings.Join(append(all, fmt.Sprintf("NodeSlots=%+v owned by %d", slots.Status, len(slots.OwnerReferences))), " ")
}
