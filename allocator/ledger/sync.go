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

// Sync brings the ledger to what a describe has shown: the blocks of the ENI
// as EC2 knew them at asOf or somewhat earlier, for a describe may lag by
// Settle. A block that nobody explains may have been used a moment ago, so its
// addresses cool from now on. A call whose answer was lost is settled as soon
// as the describe proves it done, or is recent enough to prove that it was not.
//
// While a call is in flight the describe proves nothing, and is ignored.
func (l *Ledger) Sync(observed []netip.Prefix, asOf, now time.Time) Drift {
	return l.sync(observed, asOf, now, now.Add(Cooldown))
}

// sync is Sync. The addresses of blocks that appear cool until suspect.
func (l *Ledger) sync(observed []netip.Prefix, asOf, now, suspect time.Time) Drift {
	if l.InFlight() {
		return Drift{}
	}
	l.forget(asOf)
	l.show(observed, asOf)
	appeared := l.unknown(observed)
	vanished := l.absent(observed, asOf)
	if l.InDoubt() {
		vanished = l.resolve(appeared, vanished, asOf, now)
	}
	return Drift{
		Appeared: l.adopt(appeared, now, suspect),
		Vanished: vanished,
		Stranded: l.strand(vanished),
	}
}

// Compare notes what a describe has shown, and says whether EC2 seems to differ
// from the ledger, as Sync would find out. While a call is in flight or in doubt
// that cannot be said.
func (l *Ledger) Compare(observed []netip.Prefix, asOf time.Time) (differs bool) {
	l.show(observed, asOf)
	if l.pending != nil {
		return false
	}
	l.forget(asOf)
	return len(l.unknown(observed))+len(l.absent(observed, asOf)) > 0
}

// show notes that EC2 has shown blocks. What has cooled in them, and waited for
// that, is due.
func (l *Ledger) show(observed []netip.Prefix, asOf time.Time) {
	for _, b := range l.blocks {
		if !asOf.After(b.shown) || !slices.Contains(observed, b.prefix) {
			continue
		}
		b.shown = asOf
		if b.cooling > 0 {
			l.dueAt(asOf)
		}
	}
}

// Unconfirmed says that addresses cool which EC2 is yet to show on the ENI, and that
// a describe from now on does: it cannot show a time before their pods ended.
func (l *Ledger) Unconfirmed(now time.Time) bool {
	return slices.ContainsFunc(l.blocks, func(b *block) bool {
		return b.cooling > 0 && slices.ContainsFunc(b.addresses, func(x address) bool {
			return x.cooling && !b.confirms(&x) && !now.Before(x.ended.Add(Settle))
		})
	})
}

// forget drops the memory of blocks that a describe as of that time shows no more.
func (l *Ledger) forget(asOf time.Time) {
	l.left = slices.DeleteFunc(l.left, func(f farewell) bool { return asOf.After(f.at.Add(Settle)) })
}

// unknown lists the observed blocks that are neither in the ledger nor
// explained by a describe that lags behind an unassign.
func (l *Ledger) unknown(observed []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range observed {
		known := slices.ContainsFunc(l.blocks, func(b *block) bool { return b.prefix == p }) ||
			slices.ContainsFunc(l.left, func(f farewell) bool { return f.prefix == p })
		if !known {
			out = append(out, p)
		}
	}
	return out
}

// absent lists the blocks of the ledger that the ENI no longer shows, except
// for those so new that the describe may lag behind their assign.
func (l *Ledger) absent(observed []netip.Prefix, asOf time.Time) []netip.Prefix {
	var out []netip.Prefix
	for _, b := range l.blocks {
		if !slices.Contains(observed, b.prefix) && asOf.After(b.since.Add(Settle)) {
			out = append(out, b.prefix)
		}
	}
	return out
}

// resolve settles the call whose answer was lost, and returns what has vanished
// for another reason. Blocks of a lost assign are adopted like any that appear:
// nothing tells them from those of another hand.
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

// adopt enters blocks that another hand has put on the ENI. Who used their
// addresses last may be unknown: they cool first, until the time given.
func (l *Ledger) adopt(blocks []netip.Prefix, now, suspect time.Time) []netip.Prefix {
	for _, p := range blocks {
		b := newBlock(p, now)
		b.suspect = suspect
		for i := range b.addresses {
			if suspect.After(now) {
				b.addresses[i].ended = now
			}
			l.rest(b, &b.addresses[i], now, suspect)
		}
		l.add(b, now)
	}
	return blocks
}

// strand drops blocks that are gone and lists the live pods whose address was
// among them. The pods stay holders: the API server still says so. See Adrift.
func (l *Ledger) strand(blocks []netip.Prefix) []types.UID {
	var pods []types.UID
	for _, p := range blocks {
		l.remove(p)
		for pod, a := range l.holders {
			if p.Contains(a) {
				l.adrift[pod] = p
				pods = append(pods, pod)
			}
		}
	}
	slices.Sort(pods)
	return pods
}
