package allocator

import (
	"context"
	"sync"
	"time"
)

// clock does what is due every so often.
type clock struct{ fleet *Allocator }

// tick has the nodes take in what time alone has changed.
func (c *clock) tick(context.Context) {
	a := c.fleet
	now := time.Now()
	tells := a.gate.state.Load().Other == nil && a.policy.Gives()
	for _, n := range a.nodes.all() {
		n.Tick(now)
		if tells {
			n.TellHanging(now)
		}
	}
	// What was kept in vain others may have, so those are woken; and kube-scheduler,
	// which nominates more pods than there is room for where one of higher priority has
	// come in between, then turns all of them away until it looks at one again.
	for _, n := range a.nominations.Review(now) {
		a.advertiser.Nudge(n.Name())
	}
}

// confirm has EC2 show the interfaces on which addresses cool. In mode observe the looks
// at the subnets do.
func (c *clock) confirm(ctx context.Context) {
	a := c.fleet
	if !a.policy.Gives() || !a.gate.On() || !a.Serving() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, confirmEvery)
	defer cancel()
	var looks sync.WaitGroup
	for _, n := range a.nodes.all() {
		looks.Go(func() { n.Interface.Confirm(ctx) })
	}
	looks.Wait()
}

// verify looks up the pods that were bound and that the watch has not shown since, and
// those to which an address is on its way.
func (c *clock) verify(ctx context.Context) {
	a := c.fleet
	for _, n := range a.nodes.all() {
		a.binder.VerifyOverdue(ctx, n.Binds)
	}
	for _, n := range a.nominations.Verify(ctx, time.Now()) {
		a.advertiser.Nudge(n.Name())
	}
}
