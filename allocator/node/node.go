package node

import (
	"context"
	"time"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/nodeslots"
	"slotwise.dev/slotwise/allocator/pods"
)

// Node is one Windows node. Its EC2 calls are made by its worker alone, so that at most
// one that changes the interface is in flight.
type Node struct {
	ID        *Identity
	Shown     *Shown            // totals of the Node that offers its capacity
	Slots     *nodeslots.Object // what the cluster sees of it
	Binds     *Binds            // the side that binds pods
	Interface *Interface        // the side that EC2 shows

	core *core
}

// New makes the node of an instance, which nothing is known of yet.
func New(shared *Shared, name, instance string) *Node {
	id := &Identity{Instance: instance}
	id.names.Store(&Names{Offers: name})
	n := &Node{ID: id, Shown: &Shown{}}
	l, group := ledger.New(0, ledger.SecondaryIP), shared.Pods.Group(n)
	n.core = &core{node: n, shared: shared, wake: make(chan struct{}, 1), state: state{
		policy: shared.Policy, pods: group, ledger: l, restores: restores{},
		waiters: newWaiters(l, group), totals: totals{id: id, pods: group},
	}}
	n.core.summary.Store(&capacity.Node{})
	n.Slots = shared.NodeSlots.Object(n)
	n.Binds = &Binds{core: n.core, slots: n.Slots, shown: n.Shown}
	n.Interface = &Interface{n.core}
	return n
}

// Name is the Node that offers what the interface has.
func (n *Node) Name() string { return n.ID.Name() }

// Pods is the index of pods as the node uses it.
func (n *Node) Pods() pods.Group { return n.core.pods }

// Serve finds out what the node is and then does its EC2 work, until ctx ends.
func (n *Node) Serve(ctx context.Context) {
	d := discovery{n.core, n.Slots}
	if asOf, ok := d.run(ctx); ok {
		newWorker(n.core, n.Binds, n.Interface, asOf).run(ctx)
	}
}

// Wake has the worker look whether something is to be done.
func (n *Node) Wake() { n.core.wakeWorker() }

// Refresh takes in what has changed without anybody having said so, such as whether this
// process may act.
func (n *Node) Refresh() { n.core.update(func(*state, time.Time) {}) }

// Tick takes in what time alone has changed: what has cooled is free, a pause is over.
// The worker cannot: it may be waiting for EC2.
func (n *Node) Tick(now time.Time) {
	if n.due(now) {
		n.Refresh()
	}
}

// due says that time has changed something about the node since it was summed up.
func (n *Node) due(now time.Time) bool {
	c := n.core
	c.mu.Lock()
	defer c.mu.Unlock()
	cooled := c.ledger.NextFree()
	return c.phase == ready && (!cooled.IsZero() && !cooled.After(now) ||
		c.totals.aftermath.due(now) || c.limit(now) != c.summary.Load().Limit)
}

// Apply takes in the mode that users want, as far as the instance can: prefixes need
// Nitro. Another allocator that gives the addresses knows no label of a node.
func (n *Node) Apply() {
	n.core.update(func(s *state, now time.Time) {
		mode := n.core.shared.Settings().Mode
		if s.policy.Gives() {
			mode = n.ID.Names().Mode.Or(mode)
		}
		if s.budget != nil && mode == ledger.Prefix && !s.nitro {
			mode = ledger.SecondaryIP
			s.tell(notNitro(n.Name()))
		}
		s.ledger.SetMode(mode)
		if s.phase == ready && now.Before(s.policy.Certain()) {
			s.phase = settling
		}
	})
}

// Retire ends a node that is no more, and gives back what it had set aside in its subnet.
func (n *Node) Retire() {
	c := n.core
	c.mu.Lock()
	c.phase = retired
	c.waiters.dismissAll(&capacity.Error{Reason: capacity.Unknown}, time.Now())
	c.pods.EndAttempts()
	c.summary.Store(&capacity.Node{})
	b := c.budget
	if b != nil {
		c.claims.giveUp(b)
	}
	c.mu.Unlock()
	if b != nil {
		b.Notify()
	}
}
