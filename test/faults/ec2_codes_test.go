package faults

import (
	"errors"
	"testing"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/test/ec2sim"
)

const (
	assign   = "AssignPrivateIpAddresses"
	unassign = "UnassignPrivateIpAddresses"
	describe = "DescribeNetworkInterfaces"
)

// TestEC2Refuses lets EC2 refuse the one call that a bind waits for, with each
// code that the action is known to give. The bind is served or turned away as the
// code asks for; people are told where they can mend something; and in the end the
// node takes a pod again, with nobody's help and no slot lost.
func TestEC2Refuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode  settings
		code  string
		kind  ec2sim.FaultKind // default: Refuse
		times int              // default: 1
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
		"limit of the interface":          {mode: prefixMode, code: "PrivateIpAddressLimitExceeded", served: true, calls: 2},
		"interface in an incorrect state": {mode: prefixMode, code: "IncorrectState", served: true, calls: 2},
		"invalid value":                   {mode: prefixMode, code: "InvalidParameterValue", served: true, calls: 2},
		"interface not found":             {mode: prefixMode, code: "InvalidNetworkInterfaceID.NotFound"},
		"throttled":                       {mode: prefixMode, code: "RequestLimitExceeded", served: true, calls: 2},
		"throttled three times":           {mode: prefixMode, code: "RequestLimitExceeded", times: 3, served: true, calls: 4},
		"not authorized":                  {mode: prefixMode, code: "UnauthorizedOperation", event: events.ReasonRefused, calls: 1},
		"internal error, not done":        {mode: prefixMode, code: "InternalError", calls: 1},
		"internal error, though done":     {mode: prefixMode, code: "InternalError", kind: ec2sim.RefuseDone, served: true},
		"unavailable":                     {mode: prefixMode, code: "Unavailable", calls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, c.mode)
			n := s.node(fiveSlots)
			s.awaitRemaining(n, s.remaining(n)) // nothing is under way
			s.ec2.ResetCalls()
			fault := ec2sim.Fault{Kind: ec2sim.Refuse, Action: assign, Code: c.code, Times: max(1, c.times)}
			if c.kind != "" {
				fault.Kind = c.kind
			}
			s.ec2.Inject(fault)

			pods := s.pods(int(s.room(n).Free) + 1) // one has to wait for EC2
			answers := s.bindAll(pods, n)
			if served := errors.Join(answers...) == nil; served != c.served {
				t.Errorf("the binds ended with %v, want them served: %t", errors.Join(answers...), c.served)
			}
			if got := len(s.calls(assign)); c.calls > 0 && got != c.calls {
				t.Errorf("EC2 got %d assign calls, want %d", got, c.calls)
			}
			if c.closed {
				if got := s.room(n).Reason; got != capacity.NoRoomInSubnet {
					t.Errorf("the filter says %q, want %q", got, capacity.NoRoomInSubnet)
				}
			}
			if c.event != "" {
				s.awaitNodeEvent(n, c.event, c.note)
			}

			s.await("the node takes a pod again", func() error { return s.bind(s.pods(1)[0], n) })
			s.awaitAgreement(n)
		})
	}
}
