// Package capacity is the one verdict on what a node can give: the figures, the reason
// where there is nothing, and the words for it. The extender, what Nodes advertise,
// NodeSlots and the metrics all read it.
//
// It is pure: values in, values out.
package capacity

import (
	"math"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/ledger"
)

// Unlimited is more blocks than a network interface has slots.
const Unlimited = 1 << 10

// Pod is a pod that needs an address.
type Pod struct {
	Key      types.NamespacedName
	UID      types.UID
	Priority int32
}

// Candidate is a node on which pods can be evicted for another one.
type Candidate struct {
	Node       string
	Victims    []types.UID // at least one
	Violations int64       // of disruption budgets
}

// Room is what one node can give a pod at the moment of a snapshot.
type Room struct {
	// Reason says why the pod gets no address there; Fits when it can have one.
	Reason Reason
	// Free counts the addresses that can be given this moment.
	Free int32
	// Obtainable counts the addresses that calls to EC2 can still bring.
	Obtainable int32
	// InUse counts the addresses that pods hold or wait for.
	InUse int32
}

// Fits says that the pod gets an address there.
func (r Room) Fits() bool { return r.Reason == Fits }

// Node is what one node can do, as of its last change. What its subnet has available
// changes without the node, so it is an argument: blocks of the mode's kind that no
// node has claimed. The zero value is a node that is not ready and gives nothing.
type Node struct {
	ledger.Counts
	Ready    bool
	Claimed  int           // blocks of the mode's kind that the node has claimed for what is to come
	Limit    int           // blocks that EC2 can be counted on for; Unlimited unless it fails
	Running  int           // of the resource, what kubelets count for pods that live
	Ended    int           // and what they may still count for pods that have ended
	After    ledger.Counts // once all that cools has cooled, and what leaves has left
	Returned int           // blocks of the mode's kind that the subnet gets back by then
	PodRoom  int           // pods that the kubelet still takes
}

// NoMaxPods is the PodRoom of a node whose kubelet's limit is not known.
const NoMaxPods = math.MaxInt32

// Remaining is the true remaining capacity in pods; below zero where pods wait for
// which there is nothing.
func (n *Node) Remaining(available int) int {
	if !n.Ready {
		return 0
	}
	return n.Counts.Remaining(min(n.Claimed+available, n.Limit))
}

// Usable is what of the remaining capacity the node's kubelet takes.
func (n *Node) Usable(available int) int { return min(max(0, n.Remaining(available)), n.PodRoom) }

// Total is the resource that the Node shows to the scheduler: what its pods have asked
// for, what kubelets may still count of those that have ended, and what remains; where
// pods wait for more than remains, they wait for what cools.
func (n *Node) Total(available int) int {
	return n.Running + max(0, n.Ended+n.Remaining(available))
}

// Comes says that the node will have an address for a pod once what cools has cooled.
func (n *Node) Comes(available int) bool {
	return n.After.Remaining(min(n.Claimed+available+n.Returned, n.Limit)) > 0
}

// Room is what the node can give now.
func (n *Node) Room(available int) Room {
	if !n.Ready {
		return Room{Reason: NotReady}
	}
	remaining, free := n.Remaining(available), max(0, n.Free-n.Waiting)
	room := Room{Free: int32(free), Obtainable: int32(max(0, remaining-free)), InUse: int32(n.InUse + n.Waiting)}
	if remaining <= 0 {
		room.Reason = n.lack(available)
	}
	return room
}

// Certain counts the addresses in a room that are not in doubt. While EC2 fails, a block
// that it is tried with may not come: a pod that counts on it takes a free address instead.
func (n *Node) Certain(room Room) int {
	if n.Limit < Unlimited {
		return int(room.Free)
	}
	return int(room.Free + room.Obtainable)
}

// Lack says why pods that wait cannot be served: Fits where all of them can.
func (n *Node) Lack(available int) Reason {
	if n.Remaining(available) >= 0 {
		return Fits
	}
	return n.lack(available)
}

// lack is the reason why nothing remains.
func (n *Node) lack(available int) Reason {
	switch {
	case n.Open > 0 && n.Limit == 0:
		return Refused
	case n.Open > n.Claimed && available == 0:
		return NoRoomInSubnet
	default:
		return Full
	}
}
