// Package policy is how Slotwise works: in mode manage it gives the addresses itself, in
// mode observe it stands beside another allocator, AWS's managed controller, and counts
// what that one does. The policy is chosen once, at the start.
package policy

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/ledger"
)

// Policy is what differs between the two modes. It is safe for concurrent use.
type Policy interface {
	// Gives says that Slotwise gives pods their addresses and asks EC2 for changes.
	Gives() bool
	// Resource is what Nodes advertise.
	Resource() corev1.ResourceName
	// Besides is the resource that Windows pods have to ask for one of besides
	// vpc.Resource; empty: none.
	Besides() corev1.ResourceName

	// Counts says that a bound pod without an address waits for one; wants: it asks for it.
	Counts(wants bool) bool
	// ToCome is how many blocks the subnet is about to give to a node, where its pool
	// is to have so many.
	ToCome(c ledger.Counts, want int) int
	// Hold enters the address that a bound pod has, and answers what that tells of the
	// interface. What the first describe is yet to show (known), the pod need not.
	Hold(l *ledger.Ledger, g ledger.Grant, known bool, now time.Time) ledger.Drift
	// Sync enters what a describe has shown of the interface.
	Sync(l *ledger.Ledger, shown []netip.Prefix, asOf, now time.Time) ledger.Drift

	// NextLook is when a subnet is to be described again, that lacks nothing and was
	// described last at the given time.
	NextLook(last time.Time) time.Time
	// Switched notes that the mode that users want has changed, or may have a moment ago.
	Switched(now time.Time)
	// Certain is the time from which on a describe, which may lag, shows nothing any
	// more that is about to change in the mode from before.
	Certain() time.Time
}
