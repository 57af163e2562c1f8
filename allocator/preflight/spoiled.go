package preflight

import (
	"cmp"
	"net/netip"
	"slices"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

// Spoiled is a /28 that can be no prefix because others than Windows nodes have single
// addresses in it. Those of Windows nodes leave by themselves once prefix delegation is on.
type Spoiled struct {
	Block   netip.Prefix
	Holders []cloud.Holder // each with its addresses in this block only
}

// spoiled lists the blocks of a subnet that others spoil, in order. nodes are the
// interfaces of Windows nodes.
func spoiled(s cloud.Subnet, nodes map[string]bool) []Spoiled {
	byBlock := map[netip.Prefix][]cloud.Holder{}
	for _, h := range s.Holders {
		if nodes[h.Interface] {
			continue
		}
		within := map[netip.Prefix][]netip.Prefix{}
		for _, b := range h.Blocks {
			if ledger.KindOf(b) == ledger.SecondaryIP {
				cell := ledger.BlockOf(b.Addr(), ledger.Prefix)
				within[cell] = append(within[cell], b)
			}
		}
		for cell, addresses := range within {
			h.Blocks = addresses
			byBlock[cell] = append(byBlock[cell], h)
		}
	}
	var all []Spoiled
	for block, holders := range byBlock {
		all = append(all, Spoiled{block, holders})
	}
	// Those that the fewest have to leave come first: they are won back the most easily.
	slices.SortFunc(all, func(a, b Spoiled) int {
		return cmp.Or(cmp.Compare(len(a.Holders), len(b.Holders)), a.Block.Compare(b.Block))
	})
	return all
}
