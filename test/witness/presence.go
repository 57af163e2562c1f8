package witness

import (
	"net/netip"
	"slices"
	"time"

	"slotwise.dev/slotwise/test/ec2sim"
)

// presences is when which range was on which interface, in the order of time.
type presences map[seat][]presence

// seat is a block of sixteen addresses of an interface. A range lies in one.
type seat struct {
	eni   string
	block netip.Prefix
}

// presence is a time for which a range was on an interface; a zero end is now.
type presence struct {
	what     netip.Prefix
	from, to time.Time
}

func seatOf(eni string, a netip.Addr) seat { return seat{eni, netip.PrefixFrom(a, 28).Masked()} }

// presencesOf reads them out of EC2's changes.
func presencesOf(changes []ec2sim.Change) presences {
	all := presences{}
	for _, c := range changes {
		s := seatOf(c.ENI, c.Range.Addr())
		if c.Assigned {
			all[s] = append(all[s], presence{what: c.Range, from: c.Time})
			continue
		}
		open := slices.IndexFunc(all[s], func(p presence) bool { return p.what == c.Range && p.to.IsZero() })
		if open >= 0 {
			all[s][open].to = c.Time
		}
	}
	return all
}

// at finds the range that has an address, where it is on an interface at any moment
// between two times.
func (all presences) at(eni string, a netip.Addr, from, to time.Time) (netip.Prefix, bool) {
	for _, p := range all[seatOf(eni, a)] {
		if p.what.Contains(a) && !p.from.After(to) && (p.to.IsZero() || !p.to.Before(from)) {
			return p.what, true
		}
	}
	return netip.Prefix{}, false
}
