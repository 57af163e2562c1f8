package apiserver

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// collectAfter is how long the garbage collector takes.
const collectAfter = 500 * time.Millisecond

// The garbage collector of kube-controller-manager, for the one kind here that has
// owners: NodeSlots. It deletes an object whose owner, by UID, is not there
// (pkg/controller/garbagecollector/garbagecollector.go, attemptToDeleteItem).

// owned has an object looked at whose owner is not there.
func (t transaction) owned(k Kind, o Object) {
	if k == NodeSlots && !t.store.hasOwner(o) {
		t.store.collectSoon(keyOf(o))
	}
}

// orphaned has the object looked at whose owner has gone.
func (t transaction) orphaned(k Kind, owner Object) {
	if k == Nodes {
		t.store.collectSoon(keyOf(owner)) // NodeSlots have the names of their Nodes
	}
}

func (s *store) collectSoon(key types.NamespacedName) {
	time.AfterFunc(collectAfter, func() {
		_ = s.transact("garbage collector", func(t transaction) error {
			o, err := t.find(NodeSlots, key, "")
			if err != nil || s.hasOwner(o) {
				return err
			}
			return t.delete(NodeSlots, key, Deletion{UID: o.GetUID()})
		})
	})
}

// hasOwner says that an owner of an object is there, or that it has none.
func (s *store) hasOwner(o Object) bool {
	owners := o.GetOwnerReferences()
	for _, r := range owners {
		if n, ok := s.get(Nodes, types.NamespacedName{Name: r.Name}); ok && n.GetUID() == r.UID {
			return true
		}
	}
	return len(owners) == 0
}
