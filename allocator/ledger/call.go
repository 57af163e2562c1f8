package ledger

import (
	"net/netip"
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

// Call is one mutating EC2 call on the ENI: an assign of Count blocks, or an unassign of
// the given Blocks, of one kind.
type Call struct {
	Kind    Kind
	Count   int            // blocks to assign; 0 in an unassign
	Names   []netip.Prefix // the blocks to assign, where it must be these and no others
	Blocks  []netip.Prefix // blocks to unassign; nil in an assign
	Purpose Purpose
}

// Assign tells an assign from an unassign.
func (c Call) Assign() bool { return c.Count > 0 }

// calls knows the mutating EC2 call on the ENI: there is one at a time.
type calls struct {
	pending *pending // nil: none
}

// pending is a call that was begun and whose outcome is not known yet.
type pending struct {
	Call
	lost time.Time // when its answer was given up: from then on only a describe can say whether EC2 did it
}

// Lost notes that the answer of the call in flight will not come. What the call may have
// changed stays out of reach until Sync has seen what became of it: it is looked up,
// never repeated blindly.
func (c *calls) Lost(now time.Time) { c.pending.lost = now }

// InFlight says that a call was begun and its answer may still come.
func (c *calls) InFlight() bool { return c.pending != nil && c.pending.lost.IsZero() }

// InDoubt says that an answer was lost and not looked up yet.
func (c *calls) InDoubt() bool { return !c.InDoubtSince().IsZero() }

// InDoubtSince is when the answer was lost that is not looked up yet; zero: none.
func (c *calls) InDoubtSince() time.Time {
	if c.pending == nil {
		return time.Time{}
	}
	return c.pending.lost
}
