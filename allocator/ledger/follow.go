package ledger

import (
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Follow is Sync for an ENI whose slots another allocator keeps: blocks that
// appear are of its pool, and their addresses can be given at once.
func (l *Ledger) Follow(observed []netip.Prefix, asOf, now time.Time) Drift {
	d := l.sync(observed, asOf, now, now)
	d.Vanished = append(d.Vanished, l.crowdOut()...)
	return d
}

// Reveal is Hold for a pod that another allocator gave its address to. An
// address that is new proves the block that it lies in, of the given kind, to be
// on the ENI before a describe has shown it.
func (l *Ledger) Reveal(pod types.UID, a netip.Addr, k Kind, now time.Time) (d Drift) {
	if l.holders[pod] != a {
		if l.blockOf(a) == nil {
			d.Appeared = l.adopt([]netip.Prefix{BlockOf(a, k)}, now, now)
		}
		l.blockOf(a).since = now
	}
	l.Hold(pod, a, k, now)
	d.Vanished = l.crowdOut()
	return d
}

// crowdOut drops idle blocks while there are more than the ENI has slots: the
// other allocator must have given them back, which no describe has shown yet.
// Those of the mode's kind go first: to count too little is safe.
func (l *Ledger) crowdOut() (gone []netip.Prefix) {
	surplus := len(l.blocks) - l.slots
	if surplus <= 0 {
		return nil
	}
	idle := slices.Concat(l.idle(l.mode), l.idle(other(l.mode)))
	gone = idle[:min(surplus, len(idle))]
	l.strand(gone)
	return gone
}
