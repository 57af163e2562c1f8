package ledger

import (
	"net/netip"
	"time"

	"go4.org/netipx"
)

// Free lists the addresses that no pod has and that do not cool, of both
// kinds, as CIDR blocks.
func (l *Ledger) Free() []netip.Prefix {
	var free netipx.IPSetBuilder
	for _, b := range l.blocks {
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

// Trust frees the addresses that are known to have been free all along: those
// need no cooldown although the ledger has only just come to know them.
func (l *Ledger) Trust(free []netip.Prefix, now time.Time) {
	for _, b := range l.blocks {
		for i := range b.addresses {
			x := &b.addresses[i]
			if x.holder != "" || !x.cooling || !contains(free, b.at(i)) {
				continue
			}
			x.cooling, x.free, x.ended = false, now, time.Time{}
			b.cooling--
		}
		if b.cooling == 0 && b.held == 0 {
			b.suspect = time.Time{}
		}
	}
}

func contains(blocks []netip.Prefix, a netip.Addr) bool {
	for _, p := range blocks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
