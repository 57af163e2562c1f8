package allocator

import (
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/extender"
)

// View shows what every node can give to a pod now. The nodes cannot come or go
// while f runs; it must be quick. Nothing is computed for a node that is not
// asked about, and no node is locked.
func (a *Allocator) View(pod types.UID, f func(lookup func(node []byte) extender.Room)) {
	running := a.running()
	var holds *node // the node on which the pod is being bound already
	if v, ok := a.placing.Load(pod); ok {
		holds = v.(*node)
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	f(func(name []byte) extender.Room {
		h := a.nodes[string(name)]
		switch {
		case !running:
			return extender.Room{Refusal: extender.Off}
		case h == nil:
			return extender.Room{Refusal: extender.Unknown}
		}
		room := h.room()
		if h.node == holds && room.Refusal != extender.NotReady {
			room.Refusal = extender.Fits // its address there is its own
		}
		return room
	})
}

// room is what the node can give now.
func (n *node) room() extender.Room {
	s := n.summary.Load()
	if !s.ready {
		return extender.Room{Refusal: extender.NotReady}
	}
	available := n.budget.available(s.Mode)
	remaining := s.Remaining(s.own + available)
	free := max(0, s.Free-s.Waiting)
	room := extender.Room{Free: int32(free), Obtainable: int32(max(0, remaining-free)), InUse: int32(s.InUse + s.Waiting)}
	switch {
	case remaining > 0:
	case s.Open > s.own && available == 0:
		room.Refusal = extender.NoRoomInSubnet
	default:
		room.Refusal = extender.Full
	}
	return room
}

// free counts the addresses that all nodes can give now or as soon as their calls
// in flight are done.
func (a *Allocator) free() (sum int) {
	for _, n := range a.everyNode() {
		if s := n.summary.Load(); s.ready {
			sum += max(0, s.Free+s.Arriving*s.Mode.Addresses()-s.Waiting)
		}
	}
	return sum
}

// FitsAfter says whether a node would have an address once the given pods have
// ended and cooled down.
func (a *Allocator) FitsAfter(name string, victims []types.UID) bool {
	n := a.node(name)
	if n == nil || !a.running() {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ready {
		return false
	}
	c, returned := n.ledger.After(victims)
	return c.Remaining(n.own.count+n.budget.available(c.Mode)+returned) > 0
}
