package node

import (
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/annotate"
	"slotwise.dev/slotwise/allocator/budget"
	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/policy"
	"slotwise.dev/slotwise/allocator/settings"
)

// phase is how far a node is.
type phase uint8

// The phases.
const (
	// discovering: EC2 and the API server are being read. Nothing is given.
	discovering phase = iota //nolint:unused // the zero value
	// settling: both have been read, but another allocator may go on in the mode from
	// before; see policy.Policy.Certain.
	settling
	// ready: addresses can be had.
	ready
	// retired: another node has taken this one's place, or none.
	retired
)

// read says that the ledger is what EC2 and the API server say.
func (p phase) read() bool { return p == settling || p == ready }

// state is what the mutex of a node guards. Its methods do no I/O and call nobody;
// what others are to be told is put into news.
type state struct {
	policy policy.Policy
	pods   pods.Group

	// Set by discovery, before the node is ready.
	eni    string
	nitro  bool
	budget *budget.Budget

	phase      phase
	ledger     *ledger.Ledger
	waiters    waiters
	claims     claims
	stalls     stalls
	doubtSince time.Time // since when the interface must be described before it is changed; zero: it need not
	restores   restores
	totals     totals
	dirtySince time.Time // when its use changed first since its pool was as it should be; zero: not since
	lastGrant  time.Time
	admitting  bool // the worker waits for its turn to make a call
	news       news
}

// news is what has to be told once the lock is free.
type news struct {
	changed bool // what the node can do
	grew    bool // and more remains
	notices []notice
	owed    []annotate.Annotation
}

// doubt notes that the interface may not be as the ledger has it.
func (s *state) doubt(now time.Time) {
	if s.doubtSince.IsZero() {
		s.doubtSince = now
	}
}

// limit is how many blocks EC2 may be counted on for: none where it fails to assign, and
// none as well where the interface has been in doubt for long, since nothing is asked
// for it then.
func (s *state) limit(now time.Time) int {
	if !s.doubtSince.IsZero() && !now.Before(s.doubtSince.Add(stallAfter)) {
		return 0
	}
	if lost := s.ledger.InDoubtSince(); !lost.IsZero() && !now.Before(lost.Add(stallAfter)) {
		return 0
	}
	return s.stalls.assign.limit(now)
}

// capacity sums the node up.
func (s *state) capacity(now time.Time) *capacity.Node {
	c := &capacity.Node{
		Ready: s.phase == ready, Counts: s.ledger.Counts(), Claimed: s.claims.own.count, Limit: s.limit(now),
		PodRoom: s.totals.podRoom(), Running: s.totals.running(),
	}
	if c.Limit == 0 {
		c.Arriving = 0 // nor is what a call that hangs may bring to be counted on
	}
	c.Ended = s.totals.ended(c.Counts, now)
	c.After, c.Returned = s.ledger.After(nil)
	return c
}

// settleClaims sets as many blocks aside as are to come, and no more.
func (s *state) settleClaims(want int, now time.Time) {
	if s.phase != ready {
		return
	}
	c := s.ledger.Counts()
	s.claims.settle(s.budget, c.Mode, min(s.policy.ToCome(c, want), c.Open, s.limit(now)))
}

// want is how many blocks of the mode's kind the node's pool is to have.
func (s *state) want(x settings.Settings, c ledger.Counts) int {
	return s.totals.usableBlocks(x.Targets.Want(c), c)
}

// planned is what the ledger would do next with what the subnet can give. A call for
// waiting pods takes more than they need while many come. Where EC2 did not do what it
// was asked, one block is asked for, to see whether it does now.
func (s *state) planned(x settings.Settings, b burst, now time.Time) (ledger.Call, bool) {
	call, ok := s.ledger.PlanRestore(s.restores.due(s.ledger, s.budget, now))
	if ok && !s.budget.Contested(call.Kind, call.Count, s.claims.ofKind(call.Kind)) {
		return call, true
	}
	c := s.ledger.Counts()
	available := min(s.budget.Available(c.Mode), max(1, s.stalls.assign.limit(now)))
	want := s.want(x, c)
	if c.Need() > 0 && !s.ledger.InFlight() { // with a call in flight there is no other to be planned
		want += b.blocks(c.Mode, available)
	}
	return s.ledger.Plan(want, s.claims.own.count+available)
}

// purpose is what the worker would use its turn for.
func (s *state) purpose(x settings.Settings, now time.Time) ledger.Purpose {
	if call, ok := s.planned(x, burst{}, now); ok {
		return call.Purpose
	}
	return ledger.Release
}

// lodge has the ledger hold what live pods have out of these blocks that it does not know
// to be its own: those of a Node without the label of Windows, or that has gone. It says
// whether there are such.
func (s *state) lodge(blocks []netip.Prefix, now time.Time) (found bool) {
	for _, b := range blocks {
		for _, g := range s.pods.Lodge(b) {
			if _, known := s.ledger.Holder(g.Pod); !known {
				s.ledger.Hold(g.Pod, g.Address, g.Kind, now)
				found = true
			}
		}
	}
	return found
}

// forsake drops what the ledger holds for pods that are not bound at the node: their
// address is on the interface no longer, so it is nothing that the node could keep for
// them (see lodge), or bind them with.
func (s *state) forsake(stranded []types.UID, now time.Time) {
	for _, pod := range stranded {
		if !s.pods.Has(pod) {
			s.ledger.Cancel(pod, now)
		}
	}
}

// settle notes that the interface has been seen at a time.
func (s *state) settle(asOf time.Time) {
	if s.phase = settling; !asOf.Before(s.policy.Certain()) {
		s.phase = ready
	}
}
