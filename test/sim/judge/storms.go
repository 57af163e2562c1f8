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
	// stubborn is how many calls of one kind about one interface may be refused by it: six
	// are asked for at the most, and as many again after a change of leader.
	stubborn = 12
)

// storms finds interfaces for which EC2 was asked in vain again and again.
func (j *Judge) storms() []witness.Violation { return stormsIn(j.ec2.Calls()) }

func stormsIn(all []ec2sim.Call) (found []witness.Violation) {
	type subject struct{ eni, action string }
	refused := map[subject][]ec2sim.Call{}
	for _, c := range all {
		if c.ENI != "" && c.Code != "" && c.Code != ec2sim.CodeThrottled {
			refused[subject{c.ENI, c.Action}] = append(refused[subject{c.ENI, c.Action}], c)
		}
	}
	for about, calls := range refused {
		slices.SortFunc(calls, func(a, b ec2sim.Call) int { return a.Start.Compare(b.Start) })
		for i := stubborn; i < len(calls); i++ {
			if took := calls[i].Start.Sub(calls[i-stubborn].Start); took < window {
				found = append(found, witness.Violation{
					Kind: Storm, ENI: about.eni, At: calls[i].Start,
					Text: fmt.Sprintf("EC2 refused %s for %s %d times within %s, the last time with %s",
						about.action, about.eni, stubborn+1, took.Round(time.Millisecond), calls[i].Code),
				})
				break
			}
		}
	}
	return found
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
