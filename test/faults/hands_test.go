package faults

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/test/ec2sim"
)

// TestI6OtherHands has somebody else change a network interface while Slotwise has
// no reason to touch it. It is noticed within a minute, said on the node, and the
// books are right again.
func TestI6OtherHands(t *testing.T) {
	t.Parallel()
	const slots = 5
	for name, c := range map[string]struct {
		change    func(s *system, n node) error
		remaining int // soon after it was noticed
	}{
		"an idle prefix is taken away": {
			change: func(s *system, n node) error {
				return s.ec2.Unassign(n.eni, ec2sim.Slots{Prefixes: s.eni(n).Prefixes[:1]})
			},
			remaining: slots * 16,
		},
		"a foreign secondary IP takes a slot": {
			change: func(s *system, n node) error {
				_, err := s.ec2.Assign(n.eni, ec2sim.Request{AddressCount: 1})
				return err
			},
			remaining: (slots - 1) * 16,
		},
		"a foreign prefix takes a slot and cools": {
			change: func(s *system, n node) error {
				_, err := s.ec2.Assign(n.eni, ec2sim.Request{PrefixCount: 1})
				return err
			},
			remaining: (slots - 1) * 16,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, prefixMode)
			n := s.node(fiveSlots)
			s.awaitRemaining(n, slots*16)
			time.Sleep(ledger.Settle + 5*time.Second) // until a new node is looked at no more
			s.must(c.change(s, n))
			s.awaitNodeEvent(n, events.ReasonDrift, "live pods left without their address: 0")
			s.awaitRemaining(n, c.remaining)
			s.awaitAgreement(n)
			if got := s.ec2.Errors(); len(got) > 0 {
				t.Errorf("I3: EC2 refused calls: %v", got)
			}
		})
	}
}

// TestI1HeldPrefixTakenAway has somebody else take a prefix from under its pods.
// EC2 gives it to another node, where its addresses must not be given to pods as
// long as the old ones live.
func TestI1HeldPrefixTakenAway(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(threeSlots)
	pods := s.bound(3, n)
	held := s.address(pods[0])
	// What is noticed soon does not lead to its node's having the prefix back.
	allow := s.ec2.Inject(ec2sim.Fault{Kind: ec2sim.Throttle, Action: assign, ENI: n.eni})
	s.must(s.ec2.Unassign(n.eni, ec2sim.Slots{Prefixes: s.eni(n).Prefixes}))

	heir := s.node(threeSlots)
	allow()
	if got := s.eni(heir).Prefixes; len(got) != 1 || !got[0].Contains(held) {
		t.Fatalf("EC2 gave %v to the other node, want the prefix of %s", got, held)
	}
	taken := map[netip.Addr]bool{}
	for _, p := range pods {
		taken[s.address(p)] = true
	}
	for _, p := range s.bound(16, heir) {
		if taken[s.address(p)] {
			t.Errorf("I1: %s was given again", s.address(p))
		}
	}
	s.awaitNodeEvent(n, events.ReasonDrift, "live pods left without their address: 3")
	s.awaitAgreement(n)
	s.bound(1, n)
	if got := s.address(pods[0]); got != held {
		t.Errorf("the pod's address is %s now, it was %s", got, held)
	}
}

// TestSlotsUsedUp has somebody else fill all slots of an interface. EC2 refuses the
// call that a bind waits for; the bind is turned away as soon as that is
// understood, so that its pod goes elsewhere.
func TestSlotsUsedUp(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(fiveSlots)
	pods := s.pods(17) // one more than is free
	_, err := s.ec2.Assign(n.eni, ec2sim.Request{AddressCount: 4})
	s.must(err)

	began := time.Now()
	if refused := countErrors(s.bindAll(pods, n)); refused != 1 {
		t.Errorf("%d binds were turned away, want the one that is too many", refused)
	}
	if took := time.Since(began); took > bindTimeout/2 {
		t.Errorf("the bind was turned away only after %s", took)
	}
	s.awaitRemaining(n, 0)
	s.awaitAgreement(n)
	if got := s.ec2.Errors()["PrivateIpAddressLimitExceeded"]; got > 1 { // none: it was noticed before
		t.Errorf("EC2 refused %d calls, want one at the most", got)
	}
}

// TestInstanceTerminated ends an instance under its node: binds are turned away,
// and EC2 is not asked again and again.
func TestInstanceTerminated(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node(threeSlots)
	pods := s.pods(17) // one more than is free
	s.must(s.ec2.Terminate(n.instance))
	s.ec2.ResetCalls()
	if refused := countErrors(s.bindAll(pods, n)); refused == 0 {
		t.Error("a pod waited for an instance that has ended, and was bound")
	}
	if err := s.bind(s.pods(1)[0], n); err == nil {
		t.Error("a pod was bound to an instance that is known to have ended")
	}
	time.Sleep(10 * time.Second)
	const most = 12 // one refused assign, and four or five looks of three calls at the most
	if calls := s.ec2.Counts(); len(s.ec2.Calls()) > most || calls[assign] != 1 {
		t.Errorf("EC2 got the calls %v, want at most %d and one assign", calls, most)
	}
}

// TestNodeComesBackAsAnotherInstance has a node name join again with a new
// instance: nothing of the old one is carried over but the pods, which live until
// the API server says otherwise.
func TestNodeComesBackAsAnotherInstance(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	old := s.node(threeSlots)
	pods := s.bound(17, old)
	s.must(s.ec2.Terminate(old.instance))
	s.must(shared.DeleteNode(t.Context(), old.name))

	successor := node{name: old.name, instance: old.instance + "2"}
	eni, err := s.ec2.AddInstance(ec2sim.Instance{ID: successor.instance, Type: fiveSlots, Subnet: s.subnet})
	s.must(err)
	successor.eni = eni.ID
	_, err = shared.Cluster.AddNode(t.Context(), successor.object(s.namespace, fiveSlots))
	s.must(err)
	s.awaitReady(successor)
	s.awaitAgreement(successor)

	held := map[netip.Addr]bool{}
	for _, p := range pods {
		held[s.address(p)] = true
	}
	for _, p := range s.bound(20, successor) {
		a := s.address(p)
		if held[a] {
			t.Errorf("I1: %s was given again", a)
		}
		if !slices.ContainsFunc(s.eni(successor).Prefixes, func(b netip.Prefix) bool { return b.Contains(a) }) {
			t.Errorf("%s is not on the interface of the new instance", a)
		}
	}
	s.awaitAgreement(successor)
}

// TestUnknownInstanceType has a node of a type that EC2 does not describe: people
// are told, and it is used as soon as EC2 knows the type.
func TestUnknownInstanceType(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	kind := ec2sim.Type{Name: "z9.large", Interfaces: 2, Addresses: 6, Hypervisor: ec2sim.Nitro, Hidden: true}
	s.ec2.AddType(kind)
	n := s.join(kind.Name, s.subnet)
	s.awaitNodeEvent(n, events.ReasonUnsupported, "unknown instance type")
	if err := s.bind(s.pods(1)[0], n); err == nil {
		t.Error("a pod was bound to a node of unknown size")
	}
	kind.Hidden = false
	s.ec2.AddType(kind)
	s.awaitReady(n)
	s.bound(17, n)
}

// TestNotNitro has a node in prefix mode whose instance cannot have prefixes:
// people are told, and it goes on with secondary IPs.
func TestNotNitro(t *testing.T) {
	t.Parallel()
	s := start(t, prefixMode)
	n := s.node("m4.large") // Xen, 9 slots
	s.awaitNodeEvent(n, events.ReasonUnsupported, "Prefixes need an instance built on the Nitro system")
	s.awaitRemaining(n, 9)
	pods := s.bound(9, n)
	s.must(s.has(n, 9, 0))
	for _, p := range pods {
		if a := s.address(p); !slices.Contains(s.eni(n).Addresses, a) {
			t.Errorf("%s is no secondary IP of the node", a)
		}
	}
	if got := s.ec2.Errors(); len(got) > 0 {
		t.Errorf("I3: EC2 refused calls: %v", got)
	}
	s.awaitAgreement(n)
}
