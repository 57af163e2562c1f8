package node

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/capacity"
)

// Foresee says what the node will be able to do once the given pods have ended. Right
// after a switch of mode in mode observe it is not ready, and ends bring addresses all
// the same.
func (n *Node) Foresee(ended []types.UID) capacity.Outlook {
	c := n.core
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.phase.read() {
		return capacity.Outlook{Retired: c.phase == retired}
	}
	now, shown := time.Now(), c.summary.Load()
	available := c.budget.Available(c.ledger.Counts().Mode)
	after, returned := c.ledger.After(ended)
	room := c.claims.own.count + available + returned
	return capacity.Outlook{
		Read:      true,
		Now:       shown.Remaining(available),
		Cooling:   shown.Cooling,
		Shown:     c.node.Shown.least(c.node.Name(), now) - c.totals.running(),
		Remaining: after.Remaining(min(room, c.limit(now))),
		AtBest:    after.Remaining(room),
	}
}

// Capacity is what the node can do, with what its subnet has available now.
func (n *Node) Capacity() (c *capacity.Node, available int) {
	if c = n.core.summary.Load(); c.Ready {
		available = n.core.budget.Available(c.Mode)
	}
	return c, available
}

// In says that the node is ready and in a subnet.
func (n *Node) In(subnet string) bool {
	return n.core.summary.Load().Ready && n.core.budget.ID == subnet
}
