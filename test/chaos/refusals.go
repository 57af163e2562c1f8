package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/witness"
)

// lastingCodes are what EC2 answers for a long time: that it may not be done, that there
// is no place, something that nobody knows, that too much is asked, and that it errs.
var lastingCodes = []string{
	"UnauthorizedOperation", ec2sim.CodeLimitExceeded, "SomethingThatNobodyKnows", ec2sim.CodeThrottled, "InternalError",
}

// lastingRefusals has EC2 refuse to assign on one interface, or on those of a whole
// subnet, for a long time; half of the time it refuses to unassign there, too.
func (c *chaos) lastingRefusals() stream {
	return stream{pause: 6 * time.Second, troubles: []trouble{{"lasting refusals", 1, func(ctx context.Context, r *rand.Rand) error {
		f := ec2sim.Fault{Kind: ec2sim.Refuse, Code: lastingCodes[r.IntN(len(lastingCodes))], Action: "AssignPrivateIpAddresses"}
		if r.IntN(5) == 0 {
			f.Subnet = []string{tight, busy, full}[r.IntN(3)]
		} else {
			f.ENI = c.Interface(nodeName(r.IntN(c.nodes))).ID
		}
		undo := []func(){c.EC2.Inject(f)}
		what := fmt.Sprintf("EC2 answers %s to assigns for %s%s", f.Code, f.ENI, f.Subnet)
		if r.IntN(2) == 0 {
			f.Action = "UnassignPrivateIpAddresses"
			undo = append(undo, c.EC2.Inject(f))
			what += ", and to unassigns"
		}
		c.note(witness.Note{Text: what})
		sleep(ctx, between(r, 20*time.Second, time.Minute))
		for _, end := range undo {
			end()
		}
		c.note(witness.Note{Text: "no longer: " + what})
		return nil
	}}}}
}
