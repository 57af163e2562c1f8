package allocator

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/budget"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/evict"
	"slotwise.dev/slotwise/allocator/metrics"
	"slotwise.dev/slotwise/allocator/node"
	"slotwise.dev/slotwise/allocator/pods"
)

// listener hears what the parts have to tell, with none of their locks held, and passes
// it on to those whom it concerns.
type listener struct {
	fleet   *Allocator
	metrics *metrics.Metrics
}

// Changed has the Nodes of a node and its NodeSlots show what it can do now.
func (l *listener) Changed(n *node.Node, grew bool) {
	names := n.ID.Names()
	l.fleet.advertiser.Changed(names.Offers, grew)
	for _, name := range names.Others {
		l.fleet.advertiser.Changed(name, false)
	}
	l.fleet.recorder.Changed(names.Offers)
}

// Named elects with the name that EC2 has for an instance.
func (l *listener) Named(n *node.Node) {
	if l.fleet.nodes.electAgain(n) {
		l.fleet.tellElection(n)
	}
}

// Gone has a node be read anew whose interface has gone.
func (l *listener) Gone(n *node.Node, why string) { l.fleet.replace(n, why) }

// RoomChanged has the nodes of a subnet show that its room has changed: their capacity
// has, and what they could not get may be there now.
func (l *listener) RoomChanged(subnet string, grew bool) {
	for _, n := range l.fleet.nodes.all() {
		if n.In(subnet) {
			l.fleet.advertiser.Changed(n.Name(), grew)
			l.fleet.recorder.Changed(n.Name()) // it shows what remains, too
			n.Wake()
		}
	}
}

// Described shows the nodes of a subnet what EC2 has shown of all of it.
func (l *listener) Described(b *budget.Budget, shown cloud.Subnet) {
	for _, n := range l.fleet.nodes.all() {
		n.Interface.Described(b, shown)
	}
}

// PodsRead lets the nodes act.
func (l *listener) PodsRead() {
	close(l.fleet.gate.podsRead)
	for _, n := range l.fleet.nodes.all() {
		n.Refresh()
	}
}

// Bound forgets what was on its way to a pod.
func (l *listener) Bound(pod types.UID) { l.fleet.nominations.Remove(pod) }

// Shared ends the state in which two live pods have one address: the younger one has to
// go. Nothing that Slotwise does leads there; an old leader that was frozen for longer
// than its lease can.
func (l *listener) Shared(older, younger pods.Pod) {
	l.metrics.Duplicate()
	l.fleet.log.Info("two live pods have the same address", "address", younger.Address.String(), "older", older.Key, "younger", younger.Key)
	if !l.fleet.policy.Gives() {
		return // not ours to end
	}
	duplicateAddress(younger, older).report(l.fleet.events)
	l.fleet.evictor.Add(evict.Eviction{Pod: younger.Key, UID: younger.UID})
}

// allocated tells of an address that a pod was bound with.
func (l *listener) allocated(pod types.NamespacedName, uid types.UID, address netip.Prefix) {
	l.fleet.events.Allocated(pod, uid, address)
}
