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
	// stubborn is how many calls that ask the same of one interface may be refused by it: six
	// are asked for at the most, and as many again after a change of leader.
	stubborn = 12
)

// storms finds interfaces for which EC2 was asked in vain again and again.
func (j *Judge) storms() []witness.Violation { return stormsIn(j.ec2.Calls()) }

func stormsIn(all []ec2sim.Call) (found []witness.Violation) {
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
		for i := stubborn; i < len(calls); i++ {
			if took := calls[i].Start.Sub(calls[i-stubborn].Start); took < window {
				found = append(found, witness.Violation{
					Kind: Storm, ENI: about.eni, At: calls[i].Start,
					Text: fmt.Sprintf("EC2 refused %s of %s for %s %d times within %s, the last time with %s",
						about.action, about.what, about.eni, stubborn+1, took.Round(time.Millisecond), calls[i].Code),
				})
				break
			}
		}
	}
	return found
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
