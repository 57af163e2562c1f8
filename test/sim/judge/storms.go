package judge

import (
	"fmt"
	"slices"
	"time"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/witness"
)

const (
	// window is the time in which calls are counted.
	window = 100 * time.Second
	// perLeader is how many calls one leader may make within the window that ask the same of
	// one interface and are refused by it: the pauses between them double.
	perLeader = 6
	// stubborn is how many may be refused in all where the leader has changed at most once.
	// Each that takes over later begins with short pauses, too.
	stubborn = 2 * perLeader
)

// storms finds interfaces for which EC2 was asked in vain again and again.
func (j *Judge) storms() []witness.Violation {
	var taken []time.Time
	for _, n := range j.Notes() {
		if n.Took {
			taken = append(taken, n.At)
		}
	}
	return stormsIn(j.ec2.Calls(), taken)
}

// stormsIn finds them in all calls, with the times at which somebody took the lease.
func stormsIn(all []ec2sim.Call, taken []time.Time) (found []witness.Violation) {
	type subject struct{ eni, action, what string }
	refused := map[subject][]ec2sim.Call{}
	for _, c := range all {
		if c.ENI != "" && c.Code != "" && c.Code != ec2sim.CodeThrottled {
			for _, what := range askedFor(c) {
				s := subject{c.ENI, c.Action, what}
				refused[s] = append(refused[s], c)
			}
		}
	}
	for about, calls := range refused {
		slices.SortFunc(calls, func(a, b ec2sim.Call) int { return a.Start.Compare(b.Start) })
		for i := range calls {
			if n, took, is := stormAt(calls[:i+1], taken); is {
				found = append(found, witness.Violation{
					Kind: Storm, ENI: about.eni, At: calls[i].Start,
					Text: fmt.Sprintf("EC2 refused %s of %s for %s %d times within %s, the last time with %s",
						about.action, about.what, about.eni, n, took.Round(time.Millisecond), calls[i].Code),
				})
				break
			}
		}
	}
	return found
}

// stormAt says that the last of some calls, in the order of time, is one too many, with how
// many there were in what time.
func stormAt(calls []ec2sim.Call, taken []time.Time) (n int, took time.Duration, is bool) {
	last := calls[len(calls)-1].Start
	recent := calls[slices.IndexFunc(calls, func(c ec2sim.Call) bool { return last.Sub(c.Start) < window }):]
	first := recent[0].Start
	leaders := 0
	for _, t := range taken {
		if t.After(first) && t.Before(last) {
			leaders++
		}
	}
	return len(recent), last.Sub(first), len(recent) > max(stubborn, perLeader*(1+leaders))
}

// askedFor is what a call asks for: each block that it names, or any. That one cannot be
// had says nothing of another, and of those that EC2 chooses nothing either.
func askedFor(c ec2sim.Call) (what []string) {
	for _, a := range c.Requested.Addresses {
		what = append(what, a.String())
	}
	for _, p := range c.Requested.Prefixes {
		what = append(what, p.String())
	}
	if len(what) == 0 {
		return []string{"any"}
	}
	return what
}

// ChangesAtRest finds calls that change something between two times at which nothing was to do.
func (j *Judge) ChangesAtRest(from, to time.Time) (found []witness.Violation) {
	for _, c := range j.ec2.Calls() {
		changes := c.Action == "AssignPrivateIpAddresses" || c.Action == "UnassignPrivateIpAddresses"
		if changes && c.Start.After(from) && c.Start.Before(to) {
			found = append(found, witness.Violation{
				Kind: NotAtRest, ENI: c.ENI, At: c.Start, Text: fmt.Sprintf("call %d: %s for %s, though all was at rest", c.Seq, c.Action, c.ENI),
			})
		}
	}
	return found
}
