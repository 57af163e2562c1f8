package faults

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/test/ec2sim"
)

// twoPrefixes are the settings of a pool that keeps two whole prefixes.
var twoPrefixes = settings{"enable-windows-prefix-delegation": "true", "warm-prefix-target": "2"}

// small starts a system in a subnet that can give so many prefixes, up to six, with a
// number of nodes. Their own addresses are in the first /28, which is never a prefix.
func small(t *testing.T, prefixes, nodes int, with settings) (*system, []node) {
	t.Helper()
	s := startIn(t, freshRange(25), with)
	s.occupy(6 - prefixes)
	all := make([]node, nodes)
	for i := range all {
		all[i] = s.join(fiveSlots, s.subnet)
	}
	for _, n := range all {
		s.awaitReady(n)
	}
	return s, all
}

// occupy takes free blocks of the subnet, as its other users do. EC2 gives blocks
// from the front; these are from the end.
func (s *system) occupy(blocks int) (giveBack func()) {
	s.t.Helper()
	var given []func()
	for i := 1<<(28-s.cidr.Bits()) - 1; len(given) < blocks && i > 0; i-- {
		four := s.cidr.Addr().As4()
		four[3] += byte(16 * i)
		if back, err := s.ec2.Occupy(s.subnet, netip.PrefixFrom(netip.AddrFrom4(four), 28)); err == nil {
			given = append(given, back)
		}
	}
	if len(given) < blocks {
		s.t.Fatalf("the subnet has only %d free blocks", len(given))
	}
	return func() {
		for _, back := range given {
			back()
		}
	}
}

// TestBurstInANearlyFullSubnet asks for more pods on several nodes than the subnet
// has addresses for. A pod that one node turns away tries the next, as a scheduler
// has it do. Exactly what fits is bound, and no call fails.
func TestBurstInANearlyFullSubnet(t *testing.T) {
	t.Parallel()
	const prefixes, nodes, asked = 6, 3, 120
	s, all := small(t, prefixes, nodes, prefixMode)
	pods := s.pods(asked)
	var bound atomic.Int32
	each(asked, func(i int) {
		for j := range nodes {
			if s.bind(pods[i], all[(i+j)%nodes]) == nil {
				bound.Add(1)
				return
			}
		}
	})
	if got := bound.Load(); got != prefixes*16 {
		t.Errorf("%d pods were bound, want %d", got, prefixes*16)
	}
	if got := s.ec2.Errors(); len(got) > 0 {
		t.Errorf("I3: EC2 refused calls: %v", got)
	}
	for _, n := range all {
		s.awaitRemaining(n, 0)
		s.awaitAgreement(n)
	}
}

// TestPartialRoom has pods wait for five prefixes on one node, of which somebody
// else takes two at the last moment. EC2 gives all or nothing; what is left is asked
// for once more, the pods that fit there are bound, and the rest is turned away at
// once, so that they go to other nodes.
func TestPartialRoom(t *testing.T) {
	t.Parallel()
	const wanted, taken = 5, 2
	s := start(t, prefixMode)
	s.occupy(14 - 2 - wanted)
	n := s.node("c5.large") // 9 slots
	pods := s.pods((2 + wanted) * 16)

	// While a call is in flight for the pool, pods come and wait for the next one.
	s.ec2.Inject(ec2sim.Fault{Kind: ec2sim.DelayBefore, Action: assign, Times: 1, Delay: 15 * time.Second})
	s.configure(twoPrefixes)
	s.await("a call is in flight", func() error {
		if len(s.calls(assign)) != 2 {
			return errors.New("there is none")
		}
		return nil
	})
	answers := make(chan []error)
	go func() { answers <- s.bindAll(pods, n) }()
	s.await("pods wait", func() error {
		if waiting := s.metric("slotwise_pods_waiting"); waiting != (1+wanted)*16 {
			return fmt.Errorf("%v do", waiting)
		}
		return nil
	})
	s.occupy(taken)
	bound := 0
	for _, err := range <-answers {
		if err == nil {
			bound++
		}
	}
	if want := (2 + wanted - taken) * 16; bound != want {
		t.Errorf("%d pods were bound, want %d", bound, want)
	}
	var asked []int
	for _, c := range s.calls(assign)[2:] {
		asked = append(asked, c.Requested.PrefixCount)
	}
	if want := []int{wanted, wanted - taken}; !slices.Equal(asked, want) {
		t.Errorf("EC2 was asked for %v prefixes, want %v", asked, want)
	}
	s.awaitNodeEvent(n, events.ReasonNoCidrBlocks, "free cidr blocks")
	s.awaitRemaining(n, 0)
	s.awaitAgreement(n)
}

// TestI8OneProbePerSubnet has EC2 refuse blocks that the subnet seems to have. One
// node asks again for all, after pauses that grow; and as soon as EC2 gives a block,
// all nodes can have pods again, and their Node objects say so, which wakes the
// scheduler.
func TestI8OneProbePerSubnet(t *testing.T) {
	t.Parallel()
	const nodes = 3
	s, all := small(t, 6, nodes, prefixMode)
	heal := s.ec2.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Action: assign, Code: "InsufficientCidrBlocks", Subnet: s.subnet})
	s.ec2.ResetCalls()
	s.configure(twoPrefixes)
	for _, n := range all {
		s.awaitNodeEvent(n, events.ReasonNoCidrBlocks, "free cidr blocks")
		s.awaitRemaining(n, 16)
	}
	var probes []time.Duration // by the pause before each
	s.await("EC2 was asked again twice", func() error {
		if probes = s.pauses(assign, 3*time.Second); len(probes) < 2 {
			return fmt.Errorf("it was after pauses of %v", probes)
		}
		return nil
	})
	if asked := len(s.calls(assign)); asked > nodes+2 || probes[1] < probes[0]+2*time.Second {
		t.Errorf("EC2 was asked %d times by %d nodes, after pauses of %v; want one call a node, then one for all, after pauses that grow", asked, nodes, probes)
	}
	heal()
	for _, n := range all {
		s.await("the pool is full", func() error { return s.has(n, 0, 2) })
		s.awaitRemaining(n, 2*16)
		s.awaitAgreement(n)
	}
}

// pauses are those before the calls of an action, where they are as long as that.
func (s *system) pauses(action string, least time.Duration) (long []time.Duration) {
	calls := s.calls(action)
	for i := 1; i < len(calls); i++ {
		if pause := calls[i].Start.Sub(calls[i-1].Start); pause >= least {
			long = append(long, pause)
		}
	}
	return long
}

// TestI8RoomOfOthers has somebody else give room back in a subnet that had none.
func TestI8RoomOfOthers(t *testing.T) {
	t.Parallel()
	s, all := small(t, 6, 1, prefixMode)
	n := all[0]
	giveBack := s.occupy(5)
	s.configure(twoPrefixes)
	s.awaitNodeEvent(n, events.ReasonNoCidrBlocks, "free cidr blocks")
	s.awaitRemaining(n, 16)
	giveBack()
	s.awaitRemaining(n, 5*16)
}

// TestI8RoomOfOurOwn fills a subnet, so that one node turns pods away, and has
// another give a prefix back: at that moment the first can have pods, and its Node
// object says so.
func TestI8RoomOfOurOwn(t *testing.T) {
	t.Parallel()
	s, all := small(t, 4, 2, prefixMode)
	hungry, generous := all[0], all[1]
	s.bound(31, hungry) // one more, and the pool would take a third prefix
	pods := s.bound(32, generous)
	s.bound(1, hungry)
	for _, n := range all {
		s.awaitRemaining(n, 0)
		s.awaitNodeEvent(n, events.ReasonNoCidrBlocks, "free cidr blocks")
	}
	if err := s.bind(s.pods(1)[0], hungry); err == nil {
		t.Error("a pod was bound in a full subnet")
	}
	s.delete(pods...)
	s.awaitRemaining(hungry, 16)
	seen := time.Now()
	gave := s.calls(unassign)
	if took := seen.Sub(gave[0].End); took > 10*time.Second {
		t.Errorf("the other node's Node object changed %s after the prefix was given back", took)
	}
	s.bound(1, hungry)
	s.awaitAgreement(hungry)
	s.awaitAgreement(generous)
}
