package ledger

import (
	"net/netip"
	"slices"
	"time"

	"go4.org/netipx"
)

// eni is the network interface, as EC2 is known to have it.
type eni struct {
	slots              int      // usable ones, without that of the primary address
	blocks             []*block // sorted by address
	recentlyUnassigned []unassigned
}

// unassigned is a block that EC2 has confirmed to be gone. It is remembered for as long
// as a describe may still show it.
type unassigned struct {
	prefix netip.Prefix
	at     time.Time
}

// SetSlots sets the number of usable slots, once EC2 has said it.
func (e *eni) SetSlots(slots int) { e.slots = slots }

// KindAt is the kind of the block that an address lies in; an address whose block is
// gone counts as a secondary IP.
func (e *eni) KindAt(a netip.Addr) Kind {
	if b := e.blockOf(a); b != nil {
		return b.kind()
	}
	return SecondaryIP
}

// Free lists the addresses that no pod has and that do not cool, of both kinds, as CIDR
// blocks.
func (e *eni) Free() []netip.Prefix {
	var free netipx.IPSetBuilder
	for _, b := range e.blocks {
		for i, x := range b.addresses {
			if x.holder == "" && !x.cooling && !b.leaving {
				free.Add(b.at(i))
			}
		}
	}
	set, err := free.IPSet()
	if err != nil {
		return nil // of valid addresses every set is valid
	}
	return set.Prefixes()
}

// Trust frees the addresses that are known to have been free all along: those need no
// cooldown although the ledger has only just come to know them.
func (e *eni) Trust(free []netip.Prefix, now time.Time) {
	for _, b := range e.blocks {
		for i := range b.addresses {
			x, a := &b.addresses[i], b.at(i)
			if x.holder != "" || !x.cooling || !slices.ContainsFunc(free, func(p netip.Prefix) bool { return p.Contains(a) }) {
				continue
			}
			b.endCooldown(x)
			x.free, x.ended = now, time.Time{}
		}
		if b.cooling == 0 && b.held == 0 {
			b.suspectUntil = time.Time{}
		}
	}
}

// Unconfirmed says that addresses cool which EC2 is yet to show on the ENI, and that a
// describe from now on does: it cannot show a time before their pods ended.
func (e *eni) Unconfirmed(now time.Time) bool {
	return slices.ContainsFunc(e.blocks, func(b *block) bool {
		return b.cooling > 0 && slices.ContainsFunc(b.addresses, func(x address) bool {
			return x.cooling && !b.confirms(&x) && !now.Before(x.ended.Add(Settle))
		})
	})
}

// blockOf finds the block that an address lies in; nil: it lies in none.
func (e *eni) blockOf(a netip.Addr) *block {
	for _, b := range e.blocks {
		if b.prefix.Contains(a) {
			return b
		}
	}
	return nil
}

// best finds the free address of a kind that is to be given next, by its index in its
// block: in the block with the fewest free addresses, so that others empty out, and in
// it the address that has been free longest. The block is nil where none is free.
func (e *eni) best(k Kind) (best *block, at int) {
	for _, b := range e.blocks {
		if b.kind() != k || b.leaving || b.free() == 0 {
			continue
		}
		i := b.longestFree()
		if best == nil || b.free() < best.free() ||
			b.free() == best.free() && b.addresses[i].free.Before(best.addresses[at].free) {
			best, at = b, i
		}
	}
	return best, at
}

// replaced lists the blocks that share addresses with others than themselves: an interface
// has each address once.
func (e *eni) replaced(by []netip.Prefix) (gone []netip.Prefix) {
	for _, b := range e.blocks {
		if slices.ContainsFunc(by, func(p netip.Prefix) bool { return p != b.prefix && p.Overlaps(b.prefix) }) {
			gone = append(gone, b.prefix)
		}
	}
	return gone
}

// idle lists the blocks of a kind that may be unassigned, longest idle first.
func (e *eni) idle(k Kind) []netip.Prefix {
	var idle []*block
	for _, b := range e.blocks {
		if b.kind() == k && b.idle() {
			idle = append(idle, b)
		}
	}
	slices.SortStableFunc(idle, func(a, b *block) int { return a.idleSince().Compare(b.idleSince()) })
	out := make([]netip.Prefix, len(idle))
	for i, b := range idle {
		out[i] = b.prefix
	}
	return out
}

// insert adds a block, and answers false where it is there already.
func (e *eni) insert(b *block) bool {
	i, found := slices.BinarySearchFunc(e.blocks, b.prefix, func(x *block, p netip.Prefix) int {
		return x.prefix.Compare(p)
	})
	if !found {
		e.blocks = slices.Insert(e.blocks, i, b)
	}
	return !found
}

// show notes that EC2 has shown blocks. It says whether addresses cool in one of them:
// what has cooled down may have waited for this, and is due.
func (e *eni) show(observed []netip.Prefix, asOf time.Time) (cooling bool) {
	for _, b := range e.blocks {
		if asOf.After(b.shown) && slices.Contains(observed, b.prefix) {
			b.shown = asOf
			cooling = cooling || b.cooling > 0
		}
	}
	return cooling
}

// forget drops the memory of blocks that a describe as of that time shows no more.
func (e *eni) forget(asOf time.Time) {
	e.recentlyUnassigned = slices.DeleteFunc(e.recentlyUnassigned, func(u unassigned) bool { return asOf.After(u.at.Add(Settle)) })
}

// unknown lists the observed blocks that are neither in the ledger nor explained by a
// describe that lags behind an unassign, or behind an assign of other blocks in their place.
func (e *eni) unknown(observed []netip.Prefix, asOf time.Time) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range observed {
		known := slices.ContainsFunc(e.blocks, func(b *block) bool { return b.prefix == p || b.newerThan(asOf) && b.prefix.Overlaps(p) }) ||
			slices.ContainsFunc(e.recentlyUnassigned, func(u unassigned) bool { return u.prefix == p })
		if !known {
			out = append(out, p)
		}
	}
	return out
}

// absent lists the blocks of the ledger that the ENI no longer shows, except for those
// so new that the describe may lag behind their assign.
func (e *eni) absent(observed []netip.Prefix, asOf time.Time) []netip.Prefix {
	var out []netip.Prefix
	for _, b := range e.blocks {
		if !slices.Contains(observed, b.prefix) && !b.newerThan(asOf) {
			out = append(out, b.prefix)
		}
	}
	return out
}
