package allocator

import (
	"math"

	"slotwise.dev/slotwise/allocator/ledger"
)

// A kubelet runs so many pods at the most, 110 unless it is told otherwise
// (--max-pods), pods on the host's network among them. Fourteen prefixes are 224
// addresses: what it will not run, no address helps.

// podRoom is how many more pods the kubelet takes. Caller holds n.mu.
func (n *node) podRoom() int {
	all := n.names.Load()
	if all.maxPods == 0 {
		return math.MaxInt32
	}
	return max(0, all.maxPods-n.counted[all.offers]-len(n.bindings))
}

// usableBlocks limits a number of blocks wanted to those whose addresses the kubelet
// has room for. Caller holds n.mu.
func (n *node) usableBlocks(want int, c ledger.Counts) int {
	return min(want, c.Mode.BlocksFor(c.InUseOfMode+c.Waiting+n.podRoom()))
}

// tellMaxPods tells, once for each figure, of a kubelet that takes fewer pods than its
// node's slots have addresses for. Caller holds n.mu.
func (n *node) tellMaxPods(c ledger.Counts) {
	all := n.names.Load()
	addresses := c.Slots * c.Mode.Addresses()
	want := addresses + n.onHost[all.offers]
	if all.maxPods == 0 || all.maxPods >= want || n.toldMaxPods == want {
		return
	}
	n.toldMaxPods = want
	n.a.events.maxPods(all.offers, all.maxPods, n.onHost[all.offers], addresses, want)
}
