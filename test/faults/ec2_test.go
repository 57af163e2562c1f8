package faults

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/test/ec2sim"
)

const (
	assign   = "AssignPrivateIpAddresses"
	unassign = "UnassignPrivateIpAddresses"
	describe = "DescribeNetworkInterfaces"
)

// TestEC2Refuses lets EC2 refuse the one call that a bind waits for, with codes of each
// class. The bind is served or turned away as the code asks for; people are told where
// they can fix something; and in the end the node takes a pod again, with nobody's help
// and no slot lost.
func TestEC2Refuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode settings
		code string
		kind ec2sim.FaultKind // default: Refuse
		// served: the bind waits and is served in the end; else it is turned away.
		served bool
		event  string // on the node; empty: none
		note   string // in the event
		// closed: until EC2 is seen to have room, the node turns pods away.
		closed bool
		// calls of assign that EC2 gets for the bind; 0: not of interest.
		calls int
	}{
		"no free block": {
			mode: prefixMode, code: "InsufficientCidrBlocks",
			event: events.ReasonNoCidrBlocks, closed: true, calls: 1,
			note: "InsufficientCidrBlocks: The specified subnet does not have enough free cidr blocks to satisfy the request",
		},
		"no free address": {
			mode: secondaryMode, code: "InsufficientFreeAddressesInSubnet",
			event: events.ReasonNoAddresses, closed: true, calls: 1,
			note: "InsufficientFreeAddressesInSubnet",
		},
		"limit of the interface":      {mode: prefixMode, code: "PrivateIpAddressLimitExceeded", served: true, calls: 2},
		"throttled":                   {mode: prefixMode, code: "RequestLimitExceeded", served: true, calls: 2},
		"not authorized":              {mode: prefixMode, code: "UnauthorizedOperation", event: events.ReasonRefused, calls: 1},
		"internal error, though done": {mode: prefixMode, code: "InternalError", kind: ec2sim.RefuseDone, served: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, c.mode)
			n := h.node(fiveSlots)
			h.awaitRemaining(n, h.remaining(n)) // nothing is under way
			h.ec2.ResetCalls()
			fault := ec2sim.Fault{Kind: ec2sim.Refuse, Action: assign, Code: c.code, Times: 1}
			if c.kind != "" {
				fault.Kind = c.kind
			}
			h.ec2.Inject(fault)

			pods := h.pods(int(h.room(n).Free) + 1) // one has to wait for EC2
			began, answers := time.Now(), make(chan error, 1)
			go func() { answers <- errors.Join(h.bindAll(pods, n)...) }()
			if c.closed {
				h.await("the filter turns pods away", func() error {
					if got := h.room(n).Reason; got != capacity.NoRoomInSubnet {
						return fmt.Errorf("it says %q", got)
					}
					return nil
				})
			}
			if err := <-answers; (err == nil) != c.served {
				t.Errorf("the binds ended with %v, want them served: %t", err, c.served)
			}
			// Where the binds take long, EC2 is asked again meanwhile, after a pause each time.
			most := c.calls + int(time.Since(began)/(2*time.Second))
			if got := len(h.calls(assign)); c.calls > 0 && (got < c.calls || got > most) {
				t.Errorf("EC2 got %d assign calls, want %d to %d", got, c.calls, most)
			}
			if c.event != "" {
				h.awaitNodeEvent(n, c.event, c.note)
			}

			h.await("the node takes a pod again", func() error { return h.bind(h.pods(1)[0], n) })
			h.awaitAgreement(n)
		})
	}
}

// TestI6I7LostAnswers has the connection drop once EC2 has changed an interface.
// Nothing is asked of that interface again before it was looked at, and in the end no
// slot is lost.
func TestI6I7LostAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		action    string
		change    func(h *harness, n node)
		remaining int
	}{
		"assign": {
			action: assign,
			change: func(h *harness, n node) {
				h.bound(16, n)
				late := h.pods(1)[0] // one more than is free: it may be turned away while nobody knows
				h.await("it is bound", func() error { return h.bind(late, n) })
			},
			remaining: 3*16 - 17,
		},
		"unassign": {
			action: unassign,
			change: func(h *harness, n node) {
				h.configure(secondaryMode) // the idle prefix has to go
				h.await("the prefix is gone", func() error { return h.has(n, 3, 0) })
			},
			remaining: 3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, prefixMode)
			n := h.node(threeSlots)
			h.ec2.ResetCalls()
			h.ec2.Inject(ec2sim.Fault{Kind: ec2sim.DropAfter, Action: c.action, Times: 1})
			c.change(h, n)
			h.awaitAgreement(n)
			h.awaitRemaining(n, c.remaining)
			h.lookedUp(n)
		})
	}
}

// lookedUp checks that after each change whose answer was lost the interface was
// described before it was to change again.
func (h *harness) lookedUp(n node) {
	h.t.Helper()
	inDoubt, lost := false, 0
	for _, c := range h.ec2.Calls() {
		switch {
		case c.Action == describe:
			inDoubt = false
		case c.ENI != n.eni:
		case inDoubt:
			h.t.Errorf("I7: %s was called while the answer of a change was in doubt", c.Action)
		case c.Fault != "":
			inDoubt = true
			lost++
		}
	}
	if lost == 0 {
		h.t.Error("no answer was lost: the test shows nothing")
	}
}

// TestUnknownInstanceType has a node of a type that EC2 does not describe: people
// are told, and it is used as soon as EC2 knows the type.
func TestUnknownInstanceType(t *testing.T) {
	t.Parallel()
	h := start(t, prefixMode)
	kind := ec2sim.Type{Name: "z9.large", Interfaces: 2, Addresses: 6, Hypervisor: ec2sim.Nitro, Hidden: true}
	h.ec2.AddType(kind)
	n := h.join(kind.Name)
	h.awaitNodeEvent(n, events.ReasonUnsupported, "unknown instance type")
	if err := h.bind(h.pods(1)[0], n); err == nil {
		t.Error("a pod was bound to a node of unknown size")
	}
	kind.Hidden = false
	h.ec2.AddType(kind)
	h.awaitReady(n)
	h.bound(17, n)
}

// TestNotNitro has a node in prefix mode whose instance cannot have prefixes:
// people are told, and it goes on with secondary IPs.
func TestNotNitro(t *testing.T) {
	t.Parallel()
	h := start(t, prefixMode)
	n := h.node("m4.large") // Xen, 9 slots
	h.awaitNodeEvent(n, events.ReasonUnsupported, "Prefixes need an instance built on the Nitro system")
	h.awaitRemaining(n, 9)
	pods := h.bound(9, n)
	h.must(h.has(n, 9, 0))
	for _, p := range pods {
		if a := h.address(p); !slices.Contains(h.eni(n).Addresses, a) {
			t.Errorf("%s is no secondary IP of the node", a)
		}
	}
	h.awaitAgreement(n)
}
