package allocator

import (
	"slotwise.dev/slotwise/extender"
)

// View shows what every node can give to a pod now. The nodes cannot come or go
// while f runs; it must be quick. Nothing is computed for a node that is not
// asked about, and no node is locked.
//
// Where the pod fits nowhere, and an address that cools would do, it is noted that
// this one is on its way to it: see nominations.
func (a *Allocator) View(pod extender.Pod, f func(lookup func(node []byte) extender.Room)) {
	fits, coming := a.view(pod, f)
	if !fits && len(coming) > 0 {
		a.expect(pod, coming)
	}
}

// someNodes is how many nodes with something that cools are looked at for a pod.
const someNodes = 16

func (a *Allocator) view(pod extender.Pod, f func(lookup func(node []byte) extender.Room)) (fits bool, coming []*node) {
	running := a.running()
	var holds *node // the node on which the pod is being bound already
	if v, ok := a.placing.Load(pod.UID); ok {
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
		case h.offeredByAnother(name):
			return extender.Room{Refusal: extender.Duplicate}
		}
		room, comes := h.room()
		if room.Refusal == extender.Fits && int(room.Free+room.Obtainable) <= a.nominations.kept(h.node, pod.UID, pod.Priority) {
			room.Refusal, comes = extender.Kept, true
		}
		if h.node == holds && room.Refusal != extender.NotReady {
			room.Refusal = extender.Fits // its address there is its own
		}
		fits = fits || room.Refusal == extender.Fits
		if comes && !fits && len(coming) < someNodes {
			coming = append(coming, h.node)
		}
		return room
	})
	return fits, coming
}

// room is what the node can give now, and whether it will be able to give more as soon
// as what cools has cooled.
func (n *node) room() (room extender.Room, comes bool) {
	s := n.summary.Load()
	if !s.ready {
		return extender.Room{Refusal: extender.NotReady}, false
	}
	available := n.budget.available(s.Mode)
	remaining := s.remaining(available)
	free := max(0, s.Free-s.Waiting)
	room = extender.Room{Free: int32(free), Obtainable: int32(max(0, remaining-free)), InUse: int32(s.InUse + s.Waiting)}
	switch {
	case remaining > 0:
		return room, false
	case s.Open > 0 && s.limit == 0:
		room.Refusal = extender.Refused
	case s.Open > s.own && available == 0:
		room.Refusal = extender.NoRoomInSubnet
	default:
		room.Refusal = extender.Full
	}
	return room, s.later(available) > 0
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
