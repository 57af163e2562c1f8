package ledger

import (
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Drift is how EC2 differed from the ledger.
type Drift struct {
	Appeared []netip.Prefix // blocks on the ENI that the ledger did not know
	Vanished []netip.Prefix // blocks of the ledger that the ENI no longer has
	Stranded []types.UID    // live pods whose address vanished
}

// None says that EC2 and the ledger agree.
func (d Drift) None() bool { return len(d.Appeared)+len(d.Vanished) == 0 }

// Sync brings the ledger to what a describe has shown: the blocks of the ENI as EC2 knew
// them at asOf or somewhat earlier, for a describe may lag by Settle. A block that nobody
// explains may have been used a moment ago, so its addresses cool from now on; one in whose
// place EC2 has given another since is of the past. A call whose answer was lost is settled
// as soon as the describe proves it done, or is recent enough to prove that it was not.
//
// While a call is in flight the describe proves nothing, and is ignored.
func (l *Ledger) Sync(observed []netip.Prefix, asOf, now time.Time) Drift {
	return l.sync(observed, asOf, now, now.Add(Cooldown))
}

// Follow is Sync for an ENI whose slots another allocator keeps: blocks that appear are
// of its pool, and their addresses can be given at once.
func (l *Ledger) Follow(observed []netip.Prefix, asOf, now time.Time) Drift {
	d := l.sync(observed, asOf, now, now)
	d.Vanished = append(d.Vanished, l.dropSurplus()...)
	return d
}

// Reveal is Hold for a pod that another allocator gave its address to. An address that
// is new proves the block that it lies in, of the given kind, to be on the ENI before a
// describe has shown it.
func (l *Ledger) Reveal(pod types.UID, a netip.Addr, k Kind, now time.Time) (d Drift) {
	if l.holders[pod] != a {
		if l.blockOf(a) == nil {
			d.Appeared = []netip.Prefix{BlockOf(a, k)}
			l.adopt(d.Appeared, now, now)
		}
		l.blockOf(a).since = now
	}
	l.Hold(pod, a, k, now)
	d.Vanished = l.dropSurplus()
	return d
}

// Compare notes what a describe has shown, and says whether EC2 seems to differ from the
// ledger, as Sync would find out. While a call is in flight or in doubt that cannot be
// said.
func (l *Ledger) Compare(observed []netip.Prefix, asOf time.Time) (differs bool) {
	if l.show(observed, asOf) {
		l.dueAt(asOf)
	}
	if l.pending != nil {
		return false
	}
	l.forget(asOf)
	return len(l.unknown(observed, asOf))+len(l.absent(observed, asOf)) > 0
}

// sync is Sync. The addresses of blocks that appear cool until suspectUntil.
func (l *Ledger) sync(observed []netip.Prefix, asOf, now, suspectUntil time.Time) Drift {
	if l.InFlight() {
		return Drift{}
	}
	l.forget(asOf)
	if l.show(observed, asOf) {
		l.dueAt(asOf)
	}
	appeared := l.unknown(observed, asOf)
	vanished := l.absent(observed, asOf)
	if l.InDoubt() {
		vanished = l.resolve(appeared, vanished, asOf, now)
	}
	stranded := l.strand(vanished)
	l.adopt(appeared, now, suspectUntil)
	return Drift{Appeared: appeared, Vanished: vanished, Stranded: l.stillAdrift(stranded)}
}

// resolve settles the call whose answer was lost, and returns what has vanished for
// another reason. Blocks of a lost assign are adopted like any that appear: nothing tells
// them from those of another client.
func (l *Ledger) resolve(appeared, vanished []netip.Prefix, asOf, now time.Time) []netip.Prefix {
	call, proof := l.pending, asOf.After(l.pending.lost.Add(Settle))
	if call.Assign() {
		mine := slices.DeleteFunc(slices.Clone(appeared), func(p netip.Prefix) bool { return KindOf(p) != call.Kind })
		proof = proof || len(mine) == call.Count
	} else if done := !slices.ContainsFunc(call.Blocks, func(p netip.Prefix) bool { return !slices.Contains(vanished, p) }); done {
		l.Unassigned(now)
		return slices.DeleteFunc(vanished, func(p netip.Prefix) bool { return slices.Contains(call.Blocks, p) })
	}
	if proof {
		l.Failed()
	}
	return vanished
}

// dropSurplus drops idle blocks while there are more than the ENI has slots: the other
// allocator must have given them back, which no describe has shown yet. Those of the
// mode's kind go first: to count too little is safe.
func (l *Ledger) dropSurplus() (gone []netip.Prefix) {
	surplus := len(l.blocks) - l.slots
	if surplus <= 0 {
		return nil
	}
	idle := slices.Concat(l.idle(l.mode), l.idle(other(l.mode)))
	gone = idle[:min(surplus, len(idle))]
	l.strand(gone)
	return gone
}
