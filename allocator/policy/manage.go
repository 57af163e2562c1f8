package policy

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/vpc"
)

// lookEvery is between describes of a subnet that lacks nothing. Other clients take and
// give addresses there too.
const lookEvery = time.Minute

// Manage is the policy of mode manage.
func Manage() Policy { return manage{} }

type manage struct{}

func (manage) Gives() bool                   { return true }
func (manage) Resource() corev1.ResourceName { return vpc.Resource }
func (manage) Besides() corev1.ResourceName  { return "" }
func (manage) Counts(bool) bool              { return true }

func (manage) ToCome(c ledger.Counts, _ int) int { return c.Need() }

func (manage) Hold(l *ledger.Ledger, g ledger.Grant, _ bool, now time.Time) ledger.Drift {
	l.Hold(g.Pod, g.Address, g.Kind, now)
	return ledger.Drift{}
}

func (manage) Sync(l *ledger.Ledger, shown []netip.Prefix, asOf, now time.Time) ledger.Drift {
	return l.Sync(shown, asOf, now)
}

func (manage) NextLook(last time.Time) time.Time { return last.Add(lookEvery) }
func (manage) Switched(time.Time)                {}
func (manage) Certain() time.Time                { return time.Time{} }
