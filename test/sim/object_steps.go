package sim

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/sim/history"
	"slotwise.dev/slotwise/test/witness"
)

// What somebody does to the objects that Slotwise writes. What they say of the addresses
// that are known to be free nobody changes: that is what a new leader goes by, and who may
// write it can give an address twice.

func (s *system) slotsDelete(x history.Step) {
	_ = s.server.NodeSlots().Delete(types.NamespacedName{Name: x.On}, apiserver.Deletion{}) // there may be none
}

func (s *system) slotsChange(x history.Step) {
	_, _ = s.server.NodeSlots().Change(types.NamespacedName{Name: x.On}, "", func(o *v1alpha1.NodeSlots) error {
		o.Status.Prefixes, o.Status.InUse, o.Status.Remaining = 5, 0, 99
		return nil
	}) // there may be none
}

func (s *system) capacityZero(x history.Step) {
	s.note(witness.Note{Text: "the capacity of " + x.On + " is set to 0", Node: x.On})
	s.changeNode(x.On, func(n *corev1.Node) {
		for _, list := range []corev1.ResourceList{n.Status.Capacity, n.Status.Allocatable} {
			if list != nil {
				list[resourceName] = *resource.NewQuantity(0, resource.DecimalSI)
			}
		}
	})
}

func (s *system) marksRemove(x history.Step) {
	s.changeNode(x.On, func(n *corev1.Node) { n.Annotations = nil })
}
