package ledger

import (
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Ledger is the book of one ENI. The zero value is of no use: see New.
type Ledger struct {
	usage
	calls
}

// New makes the ledger of an ENI with the given number of usable slots:
// Ipv4AddressesPerInterface without the primary address.
func New(slots int, mode Kind) *Ledger {
	return &Ledger{usage: usage{
		mode:      mode,
		eni:       eni{slots: slots},
		pods:      pods{holders: map[types.UID]netip.Addr{}, adrift: map[types.UID]netip.Prefix{}},
		cooldowns: cooldowns{away: map[netip.Addr]cooldown{}},
	}}
}

// Begin notes that a call is on its way. Its slots, and the addresses of the blocks that
// it takes away, are out of reach until its outcome is known.
func (l *Ledger) Begin(c Call) {
	l.pending = &pending{Call: c}
	for _, b := range l.blocks {
		if slices.Contains(c.Blocks, b.prefix) {
			b.leaving = true
		}
	}
}

// Assigned notes the answer of the assign in flight: the blocks that EC2 gave. Those that
// were asked for by name another client had taken: pods that ended before this ledger began
// may have had their other addresses, so these cool. Blocks of the ledger in whose place EC2
// gave others have vanished, which no describe has shown yet.
func (l *Ledger) Assigned(blocks []netip.Prefix, now time.Time) Drift {
	restored := l.pending.Names != nil
	l.pending = nil
	vanished := l.replaced(blocks)
	stranded := l.strand(vanished)
	if restored {
		l.adopt(blocks, now, now.Add(Cooldown))
	} else {
		for _, p := range blocks {
			l.add(newBlock(p, now), now)
		}
	}
	return Drift{Vanished: vanished, Stranded: l.stillAdrift(stranded)}
}

// Unassigned notes that EC2 has done the unassign in flight.
func (l *Ledger) Unassigned(now time.Time) {
	gone := l.pending.Blocks
	l.pending = nil
	for _, p := range gone {
		l.remove(p)
		l.recentlyUnassigned = append(l.recentlyUnassigned, unassigned{p, now})
	}
}

// Failed notes that EC2 certainly has not done the call in flight.
func (l *Ledger) Failed() {
	l.pending = nil
	for _, b := range l.blocks {
		b.leaving = false
	}
}
