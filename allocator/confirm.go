package allocator

import (
	"context"
	"sync"
	"time"
)

// confirmEvery is how often EC2 is asked for the interfaces on which addresses cool. An
// address is given again only once EC2 has shown it since its pod ended (I10): another
// client may have taken it meanwhile. A describe may show the past, by ledger.Settle,
// so the first that counts is asked for 10 to 20 s after the end, which leaves 10 s of
// the cooldown for the answer. Nothing waits for it. 200 interfaces share a call: at
// 5,000 nodes on all of which pods end all the time that is 150 calls a minute, a
// quarter of Slotwise's share; where no pods end, none.
const confirmEvery = 10 * time.Second

// confirm has EC2 show the interfaces on which addresses cool.
func (a *Allocator) confirm(ctx context.Context) {
	if !a.active() {
		return // in mode observe the looks at the subnets do
	}
	ctx, cancel := context.WithTimeout(ctx, confirmEvery)
	defer cancel()
	var looks sync.WaitGroup
	for _, n := range a.everyNode() {
		if eni, unconfirmed := n.unconfirmed(); unconfirmed {
			looks.Go(func() { a.confirmOn(ctx, n, eni) })
		}
	}
	looks.Wait()
}

func (n *node) unconfirmed() (eni string, unconfirmed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.eni, n.ready && n.ledger.Unconfirmed(time.Now())
}

// confirmOn holds an interface against its ledger. Where they differ, the worker looks
// more closely.
func (a *Allocator) confirmOn(ctx context.Context, n *node, eni string) {
	i, err := a.cloud.Interface(ctx, eni)
	if err != nil {
		a.log.Info("cannot confirm the addresses that cool", "node", n.name(), "eni", eni, "error", err.Error())
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ready && n.ledger.Compare(i.Blocks, i.AsOf) {
		n.doubt()
		n.poke()
	}
}
