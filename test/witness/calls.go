package witness

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"slotwise.dev/slotwise/test/ec2sim"
)

// unseen is how long a change of EC2 may be unknown to somebody who did not make
// it, or has not heard that it was made: Slotwise looks at its subnets once a
// minute, and what it sees may be some seconds old.
const unseen = 80 * time.Second

// failedCalls finds the calls that EC2 refused by its own rules although whoever
// made them could have known that it would.
func (e evidence) failedCalls() (found []Violation) {
	for _, c := range e.calls {
		if !refused(c) || e.excused(c) {
			continue
		}
		found = append(found, Violation{
			Kind: CallFailed, At: c.Start, ENI: c.ENI, Thawed: e.thawedBefore(c.Start, c.Start),
			Text: fmt.Sprintf("%s: EC2 answered %s", callText(c), c.Code),
		})
	}
	return found
}

// refused says that EC2 refused a call by its own rules: neither a fault that was
// injected nor throttling.
func refused(c ec2sim.Call) bool {
	return c.Code != "" && c.Fault == "" && c.Code != ec2sim.CodeThrottled
}

// excused says that a refused call rested on what nobody could know in time: its
// subnet or its interface had just been changed by another client, by a call whose
// answer was lost, by a process that led before this one, or by the one that took over
// while the call was under way; what it names EC2 had just chosen for another interface; or
// another account uses its subnet, too.
func (e evidence) excused(refused ec2sim.Call) bool {
	if e.hidden(e.cluster.subnet[refused.ENI], refused.Start) && aboutSubnet(refused) {
		return true
	}
	led := e.ledSince(refused.Start)
	byCall := map[int]ec2sim.Call{}
	for _, c := range e.calls {
		byCall[c.Seq] = c
	}
	return slices.ContainsFunc(e.changes, func(c ec2sim.Change) bool {
		if c.Time.Before(refused.Start.Add(-unseen)) || c.Time.After(refused.End) || !e.concerns(c, refused) {
			return false
		}
		made, called := byCall[c.Call]
		return !called || made.Fault != "" || made.Start.Before(led) || e.tookOver(refused.Start, made.Start) || picked(made, refused)
	})
}

// tookOver says that another process took the lease between two times, after which the one
// before it cannot call back what it has asked for, nor the next one know of that.
func (e evidence) tookOver(from, to time.Time) bool {
	return slices.ContainsFunc(e.notes, func(n Note) bool { return n.Took && n.At.After(from) && n.At.Before(to) })
}

// picked says that a call by number for another interface was not answered yet when a
// refused one by name was made: which blocks it would get EC2 alone decides.
func picked(made, refused ec2sim.Call) bool {
	unanswered := made.End.IsZero() || made.End.After(refused.Start)
	return unanswered && made.ENI != refused.ENI && len(rangesOf(made)) == 0 && len(rangesOf(refused)) > 0
}

// aboutSubnet says that a call was refused for what its subnet has, and not for its
// interface: there was no room, or something that was asked for by name is taken.
func aboutSubnet(refused ec2sim.Call) bool {
	switch refused.Code {
	case ec2sim.CodeInsufficientBlocks, ec2sim.CodeInsufficientAddresses:
		return true
	}
	return len(rangesOf(refused)) > 0
}

// concerns says that a change made the difference to a call: to one that found no
// room any change in the subnet does, to one that names something any change of that, to
// others one of the interface.
func (e evidence) concerns(c ec2sim.Change, refused ec2sim.Call) bool {
	switch refused.Code {
	case ec2sim.CodeInsufficientBlocks, ec2sim.CodeInsufficientAddresses:
		return e.subnetOf(c.Range) == e.cluster.subnet[refused.ENI]
	}
	return c.ENI == refused.ENI || slices.ContainsFunc(rangesOf(refused), c.Range.Overlaps)
}

// rangesOf are what a call names.
func rangesOf(c ec2sim.Call) (named []netip.Prefix) {
	for _, a := range c.Requested.Addresses {
		named = append(named, netip.PrefixFrom(a, 32))
	}
	return append(named, c.Requested.Prefixes...)
}

// subnetOf is the subnet that a range is in.
func (e evidence) subnetOf(what netip.Prefix) string {
	for _, s := range e.subnets {
		if s.CIDR.Contains(what.Addr()) {
			return s.ID
		}
	}
	return ""
}

// hidden says that another account used addresses of a subnet at a time, or had just done
// so.
func (e evidence) hidden(subnet string, at time.Time) bool {
	users := 0
	for _, n := range e.notes {
		if n.Hidden != subnet || n.At.After(at) {
			continue
		}
		if users += n.Users; n.Users < 0 && n.At.After(at.Add(-unseen)) {
			return true
		}
	}
	return users > 0
}

// ledSince is when the process that leads at a time may have taken over: when
// the one before it came to harm.
func (e evidence) ledSince(at time.Time) (since time.Time) {
	for _, n := range e.notes {
		if n.Harm && n.At.Before(at) {
			since = n.At
		}
	}
	return since
}

func callText(c ec2sim.Call) string {
	text := fmt.Sprintf("call %d: %s %s", c.Seq, c.Action, c.ENI)
	if n := c.Requested.AddressCount; n > 0 {
		text += fmt.Sprintf(", %d addresses", n)
	}
	if n := c.Requested.PrefixCount; n > 0 {
		text += fmt.Sprintf(", %d prefixes", n)
	}
	return fmt.Sprintf("%s, addresses %v, prefixes %v", text, c.Requested.Addresses, c.Requested.Prefixes)
}
