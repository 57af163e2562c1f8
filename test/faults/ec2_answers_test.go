package faults

import (
	"errors"
	"slices"
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/test/ec2sim"
)

// TestI6I7LostAnswers loses the answer of a change of an interface, before or
// after EC2 has done it. Nothing is asked of that interface again before it was
// looked at, and in the end no slot is lost, whichever it was.
func TestI6I7LostAnswers(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]ec2sim.FaultKind{
		"done":              ec2sim.RefuseDone,
		"not done":          ec2sim.Refuse,
		"dropped when done": ec2sim.DropAfter,
		"dropped before":    ec2sim.DropBefore,
	} {
		t.Run("assign, "+name, func(t *testing.T) {
			t.Parallel()
			s := start(t, prefixMode)
			n := s.node(threeSlots)
			s.ec2.ResetCalls()
			s.ec2.Inject(ec2sim.Fault{Kind: kind, Action: assign, Times: 1})
			s.bound(16, n)
			late := s.pods(1)[0] // one more than is free: it may be turned away while nobody knows
			s.await("it is bound", func() error { return s.bind(late, n) })
			s.lookedUp(n)
			s.awaitAgreement(n)
			s.awaitRemaining(n, 3*16-17)
		})
		t.Run("unassign, "+name, func(t *testing.T) {
			t.Parallel()
			s := start(t, prefixMode)
			n := s.node(threeSlots)
			s.ec2.ResetCalls()
			s.ec2.Inject(ec2sim.Fault{Kind: kind, Action: unassign, Times: 1})
			s.configure(secondaryMode) // the idle prefix has to go
			s.await("the prefix is gone", func() error {
				if eni := s.eni(n); len(eni.Prefixes) > 0 {
					return errors.New("it is there")
				}
				return nil
			})
			s.awaitAgreement(n)
			s.awaitRemaining(n, 3)
			s.lookedUp(n)
		})
	}
}

// lookedUp checks that after each change whose answer was lost the interface was
// described before it was to change again.
func (s *system) lookedUp(n node) {
	s.t.Helper()
	inDoubt, lost := false, 0
	for _, c := range s.ec2.Calls() {
		switch {
		case c.Action == describe:
			inDoubt = false
		case c.ENI != n.eni:
		case inDoubt:
			s.t.Errorf("I7: %s was called while the answer of a change was in doubt", c.Action)
		case c.Fault != "":
			inDoubt = true
			lost++
		}
	}
	if lost == 0 {
		s.t.Error("no answer was lost: the test shows nothing")
	}
}

// TestSlowEC2 lets one assign take 30 s. It is not repeated meanwhile, a bind that
// comes early is turned away and leaves nothing behind, and what the call is to bring
// counts no longer, so that pods go elsewhere, until it is there. Other nodes do not
// feel it.
func TestSlowEC2(t *testing.T) {
	t.Parallel()
	const slow = bindTimeout + 5*time.Second
	s := start(t, prefixMode)
	n, other := s.node(threeSlots), s.node(threeSlots)
	pods := s.pods(17) // one more than is free
	s.ec2.ResetCalls()
	s.ec2.Inject(ec2sim.Fault{Kind: ec2sim.DelayBefore, Action: assign, ENI: n.eni, Times: 1, Delay: slow})

	if refused := countErrors(s.bindAll(pods, n)); refused != 1 {
		t.Errorf("%d binds were turned away within %s, want the one that is to wait for EC2", refused, bindTimeout)
	}
	began := time.Now()
	s.bound(1, other)
	if took := time.Since(began); took > slow/3 {
		t.Errorf("a bind to another node took %s", took)
	}
	late := s.pods(1)[0]
	if err := s.bind(late, n); err == nil {
		t.Error("a pod was bound to a node for which EC2 does not answer")
	}
	s.await("EC2 has answered, and the pod is bound", func() error { return s.bind(late, n) })
	if got := len(s.calls(assign)); got != 1 {
		t.Errorf("EC2 got %d assign calls, want the slow one", got)
	}
	s.awaitAgreement(n)
	s.awaitRemaining(n, 3*16-17)
}

// TestI6StaleDescribes has EC2 describe interfaces as they were 5 s ago, and has
// the ledger look at the worst moments: right after an assign, and right after an
// unassign. What was confirmed is neither dropped nor adopted anew.
func TestI6StaleDescribes(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(fiveSlots)
	s.ec2.SetLag(5 * time.Second)

	look := func() { // by a refusal that says that the ledger is out of step
		s.ec2.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Action: assign, Code: "PrivateIpAddressLimitExceeded", Times: 1})
	}
	s.bound(17, n) // a second prefix, just assigned
	look()
	s.bound(16, n) // a third
	s.awaitRemaining(n, 5*16-33)
	s.configure(settings{"enable-windows-prefix-delegation": "true", "warm-prefix-target": "2"})
	s.await("there are two more prefixes", func() error { return s.has(n, 0, 5) })
	s.configure(prefixMode)
	s.await("they were given back", func() error { return s.has(n, 0, 3) })
	look()
	s.bound(16, n)
	s.awaitAgreement(n)
	s.awaitRemaining(n, 5*16-49)
	if drifts := s.metric("slotwise_ledger_corrected_total"); drifts != 0 {
		t.Errorf("the ledger was corrected %v times by descriptions that were old", drifts)
	}
	if reasons := s.nodeEvents(n); slices.Contains(reasons, events.ReasonDrift) {
		t.Errorf("the node has the events %q", reasons)
	}
}
