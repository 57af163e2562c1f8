package faults

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
)

// TestRefusalThatLasts has EC2 refuse, or leave without an answer, every assign for
// the interface of one node, whose one prefix is full. Soon the node offers only what
// it has, a bind is turned away at once, an event says why where somebody can mend
// something, and EC2 is not asked without end. Once the cause is gone the node
// recovers, with nobody's help.
func TestRefusalThatLasts(t *testing.T) {
	t.Parallel()
	const (
		certain  = 5 * time.Second  // until one refusal that is certain has become true
		doubtful = 15 * time.Second // until a doubt is seen to last
		recovery = 60 * time.Second
		most     = 15 // assigns that EC2 gets for the node in 40 s
	)
	for name, c := range map[string]struct {
		kind   ec2sim.FaultKind // default: Refuse
		code   string
		event  string
		within time.Duration
	}{
		"not authorized":           {code: "UnauthorizedOperation", event: events.ReasonRefused, within: certain},
		"not permitted":            {code: "OperationNotPermitted", event: events.ReasonRefused, within: certain},
		"a code that nobody knows": {code: "SomethingNew", event: events.ReasonRefused, within: certain},
		"limit of the interface":   {code: "PrivateIpAddressLimitExceeded", within: doubtful},
		"throttled":                {kind: ec2sim.Throttle, within: doubtful},
		"internal error":           {code: "InternalError", within: doubtful},
		"connection dropped":       {kind: ec2sim.DropBefore, within: doubtful},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, prefixMode)
			n := s.node(fiveSlots)
			s.awaitRemaining(n, 5*16)
			s.ec2.ResetCalls()
			fault := ec2sim.Fault{Kind: ec2sim.Refuse, Action: assign, ENI: n.eni, Code: c.code}
			if c.kind != "" {
				fault.Kind = c.kind
			}
			mend := s.ec2.Inject(fault)
			began := time.Now()
			s.bound(16, n) // warming asks for one more

			s.within(c.within, "the node offers what it has", func() error { return s.offers(n, 16, 0) })
			late := s.pods(1)[0]
			s.turnedAwayAtOnce(late, n)
			if c.event != "" {
				s.saysWithin(soon, n, c.event)
			}
			time.Sleep(time.Until(began.Add(40 * time.Second)))
			if got := len(s.calls(assign)); got > most {
				t.Errorf("EC2 got %d assign calls in 40 s, want %d at the most", got, most)
			}
			if err := s.offers(n, 16, 0); err != nil {
				t.Errorf("after 40 s: %v", err)
			}

			mend()
			s.within(recovery, "the node takes the pod that waits", func() error {
				if s.remaining(n) == 0 {
					return errors.New("it has no room")
				}
				return s.bind(late, n)
			})
			s.within(soon, "it offers everything", func() error { return s.offers(n, 5*16, 5*16-17) })
			s.awaitAgreement(n)
		})
	}
}

// turnedAwayAtOnce binds a pod to a node that cannot serve it.
func (s *system) turnedAwayAtOnce(p *corev1.Pod, n node) {
	s.t.Helper()
	const patience = 3 * time.Second
	asked := time.Now()
	if err := s.bind(p, n); err == nil {
		s.t.Error("a pod was bound to a node that has no address")
	}
	if took := time.Since(asked); took > patience {
		s.t.Errorf("the bind was turned away after %s, want %s at the most", took.Round(time.Second), patience)
	}
}

// saysWithin waits, no longer than limit, for an event on a node.
func (s *system) saysWithin(limit time.Duration, n node, reason string) {
	s.t.Helper()
	s.within(limit, "an event on "+n.name+" says why", func() error {
		if reasons := s.nodeEvents(n); !slices.Contains(reasons, reason) {
			return fmt.Errorf("it has the events %q, want %s", reasons, reason)
		}
		return nil
	})
}

// offers says what is wrong where a Node does not show this.
func (s *system) offers(n node, advertised, remaining int) error {
	shown, err := shared.Capacity(s.t.Context(), n.name)
	if want := (testenv.Capacity{Advertised: advertised, Remaining: remaining}); err == nil && shown != want {
		err = fmt.Errorf("%s shows %+v, want %+v", n.name, shown, want)
	}
	return err
}

// TestWaitingBindsAreAnswered has pods wait for EC2 when it refuses, for good, what
// they wait for: they are turned away at once, so that they go elsewhere.
func TestWaitingBindsAreAnswered(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"UnauthorizedOperation", "OperationNotPermitted", "SomethingNew"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			const beyond = 24 // pods more than there are free addresses
			s := start(t, prefixMode)
			n := s.node(fiveSlots)
			s.awaitRemaining(n, 5*16)
			pods := s.pods(16 + beyond)
			s.ec2.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Action: assign, ENI: n.eni, Code: code})
			began := time.Now()
			if refused := countErrors(s.bindAll(pods, n)); refused != beyond {
				t.Errorf("%d binds were turned away, want %d", refused, beyond)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the last bind was answered after %s", took.Round(time.Second))
			}
			s.within(soon, "the node offers what it has", func() error { return s.offers(n, 16, 0) })
		})
	}
}

// TestFewAssignsAtTheLimit has EC2 say, for long and for no reason that can be seen,
// that an interface has all it may have. An account's bucket, which Linux nodes share,
// refills with five assigns in a second; these take no notable part of it.
func TestFewAssignsAtTheLimit(t *testing.T) {
	t.Parallel()
	const d, most = 100 * time.Second, 15
	s := start(t, prefixMode)
	n := s.node(fiveSlots)
	s.awaitRemaining(n, 5*16)
	s.ec2.ResetCalls()
	s.ec2.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Action: assign, ENI: n.eni, Code: "PrivateIpAddressLimitExceeded"})
	s.bound(16, n) // warming asks for one more
	s.fewAssigns(d, most)
	if looks := len(s.calls(describe)); looks > 5*most {
		t.Errorf("EC2 got %d describe calls, want %d at the most", looks, 5*most)
	}
}

// fewAssigns counts the assign calls for some time, which ends once they are too many.
func (s *system) fewAssigns(d time.Duration, most int) {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < d; time.Sleep(time.Second) {
		if got := len(s.calls(assign)); got > most {
			s.t.Errorf("EC2 got %d assign calls within %s, want %d at the most in %s",
				got, time.Since(began).Round(time.Second), most, d)
			return
		}
	}
}

// TestEC2AwayAtTheStart has EC2 answer nothing when nodes join, for longer than the
// first pauses between attempts last. Soon after it answers again, all are ready: one
// call that goes well shows to all that it does.
func TestEC2AwayAtTheStart(t *testing.T) {
	t.Parallel()
	const away, back = 60 * time.Second, 8 * time.Second
	s := start(t, prefixMode)
	returns := s.ec2.Inject(ec2sim.Fault{Kind: ec2sim.DropBefore})
	began := time.Now()
	var nodes []node
	for range 3 {
		nodes = append(nodes, s.join(threeSlots, s.subnet))
		time.Sleep(5 * time.Second) // so that their pauses differ
	}
	time.Sleep(time.Until(began.Add(away)))
	calls := len(s.ec2.Calls())
	if most := 60; calls > most {
		t.Errorf("EC2 got %d calls while it was away, want %d at the most", calls, most)
	}
	returns()
	returned := time.Now()
	for _, n := range nodes {
		s.within(back, n.name+" has addresses", func() error {
			if r := s.room(n); r.Free == 0 {
				return fmt.Errorf("it has room %+v", r)
			}
			return nil
		})
	}
	for _, n := range nodes {
		s.awaitReady(n)
	}
	t.Logf("the last node was ready %s after EC2 was back", time.Since(returned).Round(time.Second))
}
