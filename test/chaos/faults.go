package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/witness"
)

// actions are those that faults are aimed at; AnyAction is all.
var actions = []string{ec2sim.AnyAction, "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses", "DescribeNetworkInterfaces"}

// ec2Trouble is what happens to EC2: each lasts for some seconds.
func (c *chaos) ec2Trouble() stream {
	fault := func(name string, weight int, f ec2sim.Fault) trouble {
		return trouble{name, weight, func(ctx context.Context, r *rand.Rand) error {
			f := f
			f.Action = actions[r.IntN(len(actions))]
			f.Probability = 0.5 + 0.5*r.Float64()
			if f.Delay > 0 {
				f.Delay = between(r, time.Second, f.Delay)
			}
			c.during(ctx, r, fmt.Sprintf("%s (%q, %.0f%%)", name, f.Action, 100*f.Probability), c.EC2.Inject(f))
			return nil
		}}
	}
	return stream{pause: 2 * time.Second, troubles: []trouble{
		fault("EC2 errs", 2, ec2sim.Fault{Kind: ec2sim.Refuse, Code: "InternalError"}),
		fault("EC2 is unavailable", 1, ec2sim.Fault{Kind: ec2sim.Refuse, Code: "Unavailable"}),
		fault("EC2 errs although it was done", 2, ec2sim.Fault{Kind: ec2sim.RefuseDone, Code: "InternalError"}),
		fault("EC2 drops connections", 2, ec2sim.Fault{Kind: ec2sim.DropBefore}),
		fault("EC2 loses answers", 3, ec2sim.Fault{Kind: ec2sim.DropAfter}),
		fault("EC2 throttles", 2, ec2sim.Fault{Kind: ec2sim.Throttle}),
		fault("EC2 is slow to act", 1, ec2sim.Fault{Kind: ec2sim.DelayBefore, Delay: 20 * time.Second}),
		fault("EC2 is slow to answer", 1, ec2sim.Fault{Kind: ec2sim.DelayAfter, Delay: 20 * time.Second}),
		{"EC2 shows old states", 3, func(ctx context.Context, r *rand.Rand) error {
			lag := between(r, time.Second, 5*time.Second)
			c.EC2.SetLag(lag)
			c.during(ctx, r, "EC2 shows states that are "+lag.String()+" old", func() { c.EC2.SetLag(0) })
			return nil
		}},
		{"EC2 gives a tenth of its rates", 1, func(ctx context.Context, r *rand.Rand) error {
			c.EC2.SetThrottle(map[string]ec2sim.Bucket{
				ec2sim.AnyAction:             {Burst: 10, PerSecond: 2},
				"AssignPrivateIpAddresses":   {Burst: 5, PerSecond: 0.5},
				"UnassignPrivateIpAddresses": {Burst: 5, PerSecond: 0.5},
			})
			c.during(ctx, r, "EC2 gives a tenth of its rates", func() { c.EC2.SetThrottle(nil) })
			return nil
		}},
	}}
}

// during lets something last for some seconds.
func (c *chaos) during(ctx context.Context, r *rand.Rand, what string, undo func()) {
	c.note(witness.Note{Text: what})
	sleep(ctx, between(r, 3*time.Second, 15*time.Second))
	undo()
	c.note(witness.Note{Text: "no longer: " + what})
}

// neighbours are others who use a subnet, too: they take free blocks of it, and
// give them back.
func (c *chaos) neighbours() stream {
	return stream{pause: 10 * time.Second, troubles: []trouble{{"blocks taken by others", 1, func(ctx context.Context, r *rand.Rand) error {
		var taken []func()
		defer func() {
			for _, giveBack := range taken {
				giveBack()
			}
		}()
		first := subnets[busy].Addr().As4()
		for block := range 1 << (28 - subnets[busy].Bits()) {
			if r.IntN(2) == 0 {
				continue
			}
			at := netip.AddrFrom4([4]byte{first[0], first[1], first[2] + byte(block/16), byte(block % 16 * 16)})
			// A single address is enough to spoil a block.
			for _, bits := range []int{28, 32} {
				if giveBack, err := c.EC2.Occupy(busy, netip.PrefixFrom(at, bits)); err == nil {
					taken = append(taken, giveBack)
					break
				}
			}
		}
		c.note(witness.Note{Text: fmt.Sprintf("others take %d blocks of %s", len(taken), busy)})
		sleep(ctx, between(r, 5*time.Second, 30*time.Second))
		c.note(witness.Note{Text: "others give their blocks of " + busy + " back"})
		return nil
	}}}}
}
