package ledger

import (
	"net/netip"
	"slices"
	"time"
)

// Purpose says what an EC2 call is for, the most urgent first.
type Purpose uint8

const (
	// Restoring brings back what live pods have their address out of.
	Restoring Purpose = iota
	// Waiting pods need it.
	Waiting
	// Warming fills the warm pool.
	Warming
	// Release gives back what no target asks for.
	Release
)

func (p Purpose) String() string { return [...]string{"restoring", "waiting", "warming", "release"}[p] }

// Call is one mutating EC2 call on the ENI: an assign of Count blocks, or an
// unassign of the given Blocks, of one kind.
type Call struct {
	Kind    Kind
	Count   int            // blocks to assign; 0 in an unassign
	Names   []netip.Prefix // the blocks to assign, where it must be these and no others
	Blocks  []netip.Prefix // blocks to unassign; nil in an assign
	Purpose Purpose
}

// Assign tells an assign from an unassign.
func (c Call) Assign() bool { return c.Count > 0 }

// pending is the call in flight. lost is when its answer was given up: from
// then on only a describe can say whether EC2 did it.
type pending struct {
	Call
	lost time.Time
}

// Begin notes that a call is on its way. Its slots, and the addresses of the
// blocks that it takes away, are out of reach until its outcome is known.
func (l *Ledger) Begin(c Call) {
	l.pending = &pending{Call: c}
	for _, b := range l.blocks {
		if slices.Contains(c.Blocks, b.prefix) {
			b.leaving = true
		}
	}
}

// Assigned notes the answer of the assign in flight: the blocks that EC2 gave.
func (l *Ledger) Assigned(blocks []netip.Prefix, now time.Time) {
	l.pending = nil
	for _, p := range blocks {
		l.add(newBlock(p, now), now)
	}
}

// Unassigned notes that EC2 has done the unassign in flight.
func (l *Ledger) Unassigned(now time.Time) {
	gone := l.pending.Blocks
	l.pending = nil
	for _, p := range gone {
		l.remove(p)
		l.left = append(l.left, farewell{p, now})
	}
}

// Failed notes that EC2 certainly has not done the call in flight.
func (l *Ledger) Failed() {
	l.pending = nil
	for _, b := range l.blocks {
		b.leaving = false
	}
}

// Lost notes that the answer of the call in flight will not come. What the
// call may have changed stays out of reach until Sync has seen what became of
// it: it is looked up, never repeated blindly.
func (l *Ledger) Lost(now time.Time) { l.pending.lost = now }

// InFlight says that a call was begun and its answer may still come.
func (l *Ledger) InFlight() bool { return l.pending != nil && l.pending.lost.IsZero() }

// InDoubt says that an answer was lost and not looked up yet.
func (l *Ledger) InDoubt() bool { return l.pending != nil && !l.pending.lost.IsZero() }

// InDoubtSince is when the answer was lost that is not looked up yet; zero: none.
func (l *Ledger) InDoubtSince() time.Time {
	if l.pending == nil {
		return time.Time{}
	}
	return l.pending.lost
}

// add enters a block, with the pods that are known to hold its addresses and
// the cooldowns that began while it was elsewhere.
func (l *Ledger) add(b *block, now time.Time) {
	i, found := slices.BinarySearchFunc(l.blocks, b.prefix, func(x *block, p netip.Prefix) int {
		return x.prefix.Compare(p)
	})
	if found {
		return
	}
	l.blocks = slices.Insert(l.blocks, i, b)
	for pod, a := range l.holders {
		if b.prefix.Contains(a) {
			delete(l.adrift, pod)
			l.occupy(b, a, pod)
		}
	}
	for a, r := range l.resting {
		if !b.prefix.Contains(a) {
			continue
		}
		delete(l.resting, a)
		if x := b.address(a); x.holder == "" && r.free.After(x.free) {
			x.ended = r.ended
			l.rest(b, x, now, r.free)
		}
	}
}

// remove drops a block. What cools in it goes on cooling.
func (l *Ledger) remove(p netip.Prefix) {
	l.blocks = slices.DeleteFunc(l.blocks, func(b *block) bool {
		if b.prefix != p {
			return false
		}
		for i, x := range b.addresses {
			if x.cooling {
				l.resting[b.at(i)] = rest{x.ended, x.free}
				l.dueAt(x.free)
			}
		}
		return true
	})
}
