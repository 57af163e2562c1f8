package node

import (
	"net/netip"
	"slices"
	"time"

	"slotwise.dev/slotwise/allocator/budget"
	"slotwise.dev/slotwise/allocator/ledger"
)

// restores are the blocks that live pods have their address out of, that another client
// has taken from the interface, and that were asked for by name of late. Where a block is
// taken again and again it is asked for ever more slowly, so that two clients that fight
// make no storm.
type restores map[netip.Prefix]restore

type restore struct {
	pause time.Duration
	due   time.Time // nothing is asked before
}

// leftAlone is how long a block must have been left alone to be restored at once the
// next time.
const leftAlone = 10 * time.Minute

// asked notes that blocks were asked for once more, with whatever result.
func (r restores) asked(blocks []netip.Prefix, now time.Time) {
	r.trim(now)
	for _, b := range blocks {
		pause := restorePause.after(r[b].pause)
		r[b] = restore{pause, now.Add(pause)}
	}
}

// due lists the blocks that may be asked for by name now: the subnet has them.
func (r restores) due(l *ledger.Ledger, b *budget.Budget, now time.Time) (blocks []netip.Prefix) {
	for _, block := range l.Adrift() {
		x, asked := r[block]
		if asked && now.After(x.due.Add(leftAlone)) {
			x = restore{}
		}
		if !now.Before(x.due) && b.Unused(block) {
			blocks = append(blocks, block)
		}
	}
	return blocks
}

// trim forgets the blocks that were left alone.
func (r restores) trim(now time.Time) {
	for block, x := range r {
		if now.After(x.due.Add(leftAlone)) {
			delete(r, block)
		}
	}
}

// unrestorable are those of the blocks that are lost to live pods and cannot be asked
// for, because the subnet no longer has them or the interface has no slot.
func unrestorable(l *ledger.Ledger, b *budget.Budget, blocks []netip.Prefix) []netip.Prefix {
	adrift, open := l.Adrift(), l.Counts().Open
	return slices.DeleteFunc(slices.Clone(blocks), func(block netip.Prefix) bool {
		return !slices.Contains(adrift, block) || open > 0 && b.Unused(block)
	})
}
