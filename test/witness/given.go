package witness

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"slotwise.dev/slotwise/test/ec2sim"
)

// departures are the changes by which ranges left interfaces, in the order of time.
type departures map[seat][]ec2sim.Change

func departuresOf(changes []ec2sim.Change) departures {
	all := departures{}
	for _, c := range changes {
		if !c.Assigned {
			s := seatOf(c.ENI, c.Range.Addr())
			all[s] = append(all[s], c)
		}
	}
	return all
}

// of lists those of an address.
func (all departures) of(eni string, a netip.Addr) []ec2sim.Change {
	return slices.DeleteFunc(slices.Clone(all[seatOf(eni, a)]), func(c ec2sim.Change) bool { return !c.Range.Contains(a) })
}

// byOthers says that another client than Slotwise made a change: Slotwise has no other
// way to EC2 than the calls.
func byOthers(c ec2sim.Change) bool { return c.Call == 0 }

// missing finds addresses that Slotwise took from the interface while their pod lived.
// What others take is no fault of its own.
func (e evidence) missing() (found []Violation) {
	left := departuresOf(e.changes)
	for _, l := range e.pods {
		if l.From == 0 {
			continue
		}
		from, known := e.clock.NotAfter(l.From)
		until := e.clock.NotBefore(l.Alive + 1)
		if !known {
			continue
		}
		for _, c := range left.of(e.eni(l), l.Address) {
			if byOthers(c) || !c.Time.After(from) || !c.Time.Before(until) {
				continue
			}
			found = append(found, Violation{
				Kind: NotOnENI, Pod: l.Name, At: c.Time, Address: l.Address, Thawed: e.thawedBefore(c.Time, c.Time),
				Text: fmt.Sprintf("%s had %s, when call %d unassigned %s from %s of %s", l.Name, l.Address, c.Call, c.Range, c.ENI, l.Node),
			})
			break
		}
	}
	return found
}

// givenAbsent finds pods that were given an address that was not on the interface of
// their node, though Slotwise could have known.
func (e evidence) givenAbsent() (found []Violation) {
	there, left := presencesOf(e.changes), departuresOf(e.changes)
	for _, l := range e.pods {
		if why := e.absent(l, there, left); why != "" {
			at := e.clock.NotBefore(l.From)
			found = append(found, Violation{
				Kind: GivenAbsent, Pod: l.Name, At: at, Address: l.Address, Thawed: e.thawedBefore(at, at),
				Text: fmt.Sprintf("%s on %s got %s, which %s", l.Name, l.Node, l.Address, why),
			})
		}
	}
	return found
}

// absent says why an address must not have been given to a pod; empty where nothing is
// wrong. What another client takes after EC2 could have shown it for the last time that
// counts, Slotwise cannot know before it looks at the subnet again.
func (e evidence) absent(l Life, there presences, left departures) string {
	eni := e.eni(l)
	to, known := e.clock.NotAfter(l.From)
	from := e.clock.NotBefore(l.From)
	if l.From == 0 || !known {
		return ""
	}
	if _, present := there.at(eni, l.Address, from, to); present {
		return ""
	}
	var last ec2sim.Change // before it was given
	for _, c := range left.of(eni, l.Address) {
		if c.Time.Before(from) {
			last = c
		}
	}
	switch {
	case last.Time.IsZero():
		return "was never on the interface"
	case !byOthers(last):
		return fmt.Sprintf("call %d had unassigned %s before", last.Call, since(last.Time, from))
	case last.Time.Before(e.freedBefore(l)):
		return fmt.Sprintf("others had taken %s before, while another pod had it", since(last.Time, from))
	case last.Time.Before(from.Add(-unseen)):
		return fmt.Sprintf("others had taken %s before", since(last.Time, from))
	}
	return ""
}

func since(t, at time.Time) string { return at.Sub(t).Round(time.Millisecond).String() }

// freedBefore is when the pod that had the address of another one before it may have
// ended; zero: there was none.
func (e evidence) freedBefore(next Life) (end time.Time) {
	for _, l := range e.pods {
		if l.UID == next.UID || l.Address != next.Address || l.From == 0 || l.From >= next.From || l.Ended == 0 || l.Alive >= next.From {
			continue
		}
		if t := e.clock.NotBefore(l.Alive + 1); t.After(end) {
			end = t
		}
	}
	return end
}

// useful says that an address is on an interface around a time, and of the kind that
// new pods get.
func (e evidence) useful(there presences, eni string, a netip.Addr, from, to time.Time) bool {
	what, present := there.at(eni, a, from, to)
	if !present {
		return false
	}
	prefixes, settled := e.mode(eni, from, to)
	return settled && prefixes == (what.Bits() == 28)
}

// unsettled is for how long after a switch of mode nobody knows who has heard of it.
const unsettled = 10 * time.Second

// mode says whether new pods get addresses of prefixes at a time; settled is false
// around a switch.
func (e evidence) mode(eni string, from, to time.Time) (prefixes, settled bool) {
	settled = true
	for _, n := range e.notes {
		if n.Prefixes == nil || n.At.After(to) {
			continue
		}
		if n.At.After(from.Add(-unsettled)) && prefixes != *n.Prefixes {
			settled = false
		}
		prefixes = *n.Prefixes
	}
	return prefixes && nitro(e.cluster.kind[eni]), settled
}
