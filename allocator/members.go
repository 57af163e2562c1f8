package allocator

import (
	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/node"
)

// AddNode makes known that a Windows node exists, or has changed. A node that comes back
// as another instance begins anew.
func (a *Allocator) AddNode(m Member) {
	if n := a.nodes.find(m.Name); n != nil && n.ID.Instance != m.Instance {
		a.RemoveNode(m.Name)
	}
	if n, elected := a.nodes.add(m); elected {
		a.tellElection(n)
	}
}

// RemoveNode makes known that a node no longer exists.
func (a *Allocator) RemoveNode(name string) {
	if n, last, elected := a.nodes.remove(name); !last && elected {
		a.tellElection(n)
	}
}

// replace drops what is known of a node's interface. While its Node objects stand, it is
// discovered again under the same names.
func (a *Allocator) replace(n *node.Node, why string) {
	a.log.Info("node is read anew", "node", n.Name(), "instance", n.ID.Instance, "why", why)
	a.nodes.replace(n, func(next *node.Node) { a.nominations.Move(n, next) })
}

// tellElection has all Nodes of an instance show what follows from an election.
func (a *Allocator) tellElection(n *node.Node) {
	n.Apply() // what counts on a node is what it asks for there
	names := n.ID.Names()
	a.advertiser.Changed(names.Offers, true)
	a.recorder.Changed(names.Offers)
	for _, name := range names.Others {
		duplicateNode(name, names.Offers, n.ID.Instance).report(a.events)
		a.advertiser.Changed(name, false)
		a.recorder.Changed(name)
	}
}

// NodeSeen makes known what a Node object shows. Where that is not what was written, as
// when a kubelet registers again and resets it, or another client has changed it, it is
// written anew.
func (a *Allocator) NodeSeen(o *corev1.Node) { a.advertiser.Seen(o) }

// NodeSlotsSeen makes known what the cluster has of a NodeSlots object: its version,
// empty where there is none. What another client has changed or removed is written anew.
func (a *Allocator) NodeSlotsSeen(name, version string) {
	if n := a.nodes.find(name); n != nil && n.Name() == name {
		n.Slots.Seen(version)
	}
}
