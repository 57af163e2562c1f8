package policy

import (
	"net/netip"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/vpc"
)

// adapt is how long after a switch of mode the other allocator may go on in the mode
// from before: until it has seen the switch, and had the answers to its calls.
const adapt = 5 * time.Second

// Observe is the policy of mode observe; subnets are described that often.
//
// Another allocator takes slots, and gives addresses to pods after they have been bound.
// Nothing is asked of EC2 but to describe, no pod is given an address, and what is
// advertised is a resource of Slotwise's own (vpc.TrueResource), beside the other's. The
// ledger follows what the other does; filter and bind count by it. A pod that is bound,
// or being bound, waits in the ledger until its annotation shows which address the other
// has given it.
//
// Within one mode nothing that the other does between two looks takes capacity away
// unseen: it only fills empty slots with blocks of the mode's kind, which count the same,
// and what pods get of them their annotations reveal at once. After a switch of mode it
// may for a moment go on in the one from before, so nothing is promised until EC2 has
// been seen after that moment.
func Observe(every time.Duration) Policy { return &observe{every: every} }

type observe struct {
	every    time.Duration
	switched atomic.Pointer[time.Time]
}

func (o *observe) Gives() bool                   { return false }
func (o *observe) Resource() corev1.ResourceName { return vpc.TrueResource }
func (o *observe) Besides() corev1.ResourceName  { return vpc.TrueResource }

// Counts: the other allocator gives no address to a pod that does not ask for one.
func (o *observe) Counts(wants bool) bool { return wants }

// ToCome is what the other allocator is about to take, for its warm pool too.
func (o *observe) ToCome(c ledger.Counts, want int) int { return max(c.Need(), want-c.Blocks()) }

func (o *observe) Hold(l *ledger.Ledger, g ledger.Grant, known bool, now time.Time) ledger.Drift {
	if !known {
		l.Hold(g.Pod, g.Address, g.Kind, now)
		return ledger.Drift{}
	}
	return l.Reveal(g.Pod, g.Address, g.Kind, now)
}

// Sync: that the other has changed something is no surprise, unless it takes an address
// from under a pod.
func (o *observe) Sync(l *ledger.Ledger, shown []netip.Prefix, asOf, now time.Time) ledger.Drift {
	return l.Follow(shown, asOf, now)
}

func (o *observe) NextLook(last time.Time) time.Time {
	next := last.Add(o.every)
	if certain := o.Certain(); last.Before(certain) && certain.Before(next) {
		return certain
	}
	return next
}

func (o *observe) Switched(now time.Time) { o.switched.Store(&now) }

func (o *observe) Certain() time.Time {
	if at := o.switched.Load(); at != nil {
		return at.Add(adapt + ledger.Settle)
	}
	return time.Time{}
}
