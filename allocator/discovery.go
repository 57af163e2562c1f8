package allocator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

func newNode(a *Allocator, name, instance string) *node {
	n := &node{
		a: a, instance: instance, poked: make(chan struct{}, 1),
		ledger:   ledger.New(0, ledger.SecondaryIP),
		restores: map[netip.Prefix]restore{},
		bindings: map[types.UID]*binding{},
		pods:     map[types.UID]pod{},
		counted:  map[string]int{},
		onHost:   map[string]int{},
		asked:    map[string]int{},
	}
	n.names.Store(&names{offers: name})
	n.summary.Store(&summary{})
	return n
}

// serve finds out what the node is and then does its EC2 work, until ctx ends.
func (n *node) serve(ctx context.Context) {
	described, ok := n.discover(ctx)
	if !ok {
		return
	}
	w := &worker{node: n, described: settled(described)}
	w.run(ctx)
}

// newInstance is the pause of discovery from which on an instance that EC2 does not
// know is no news of a node that has just joined.
const newInstance = 8 * time.Second

// discover reads the node from EC2 and from the API server until both have
// answered. Only then are addresses given on it. That EC2 answers again after it did
// not, one success of any node shows to all.
func (n *node) discover(ctx context.Context) (described time.Time, ok bool) {
	for pause := time.Duration(0); ; {
		recovered := n.a.cloud.Recovered()
		described, err := n.read(ctx)
		if err == nil {
			return described, true
		}
		if ctx.Err() != nil {
			return time.Time{}, false
		}
		n.a.log.Info("node not usable yet", "node", n.name(), "instance", n.instance, "error", err.Error())
		class := cloud.Classify(err)
		switch {
		case class == cloud.Refused:
			n.a.events.unsupported(n.name(), err)
		case class == cloud.Gone && pause >= newInstance: // EC2 may not know a new one at once
			n.a.events.unmanaged(n.name(), fmt.Sprintf("EC2 knows no instance %s: it has gone, or Slotwise runs in another region or with another account's credentials", n.instance))
		}
		if class == cloud.Lost || class == cloud.RetryLater {
			pause = silencePause.after(pause)
		} else {
			pause = discoveryPause.after(pause)
		}
		select {
		case <-ctx.Done():
			return time.Time{}, false
		case <-recovered:
			pause = 0
		case <-time.After(jitter(pause)):
		}
	}
}

// jitter keeps nodes that failed together from trying again together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// read reads all that the ledger of the node begins with.
func (n *node) read(ctx context.Context) (described time.Time, err error) {
	instance, err := n.a.cloud.Instance(ctx, n.instance)
	if err != nil {
		return time.Time{}, err
	}
	limits, err := n.a.cloud.Limits(ctx, instance.Type)
	if err != nil {
		return time.Time{}, err
	}
	budget, err := n.a.subnets.budget(ctx, instance.SubnetID)
	if err != nil {
		return time.Time{}, err
	}
	n.dnsName.Store(&instance.DNSName)
	n.a.electAgain(n)
	if err := budget.unread; err != nil {
		n.a.events.reservationsUnread(n.name(), budget.id, err)
	}
	if err := n.readPods(ctx); err != nil {
		return time.Time{}, err
	}
	// Addresses cool from the moment in which the node is opened. A pod that ends after
	// that has to be seen, so all pods are known first.
	select {
	case <-n.a.podsRead:
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
	eni, err := n.a.cloud.Interface(ctx, instance.PrimaryENI)
	if err != nil {
		return time.Time{}, err
	}
	n.open(instance, limits, budget, eni, n.a.recorder.known(ctx, n, eni.ID))
	return eni.AsOf, nil
}

// readPods reads the pods of all Nodes of the instance that the watch's first list has
// passed over.
func (n *node) readPods(ctx context.Context) (err error) {
	n.unread.Range(func(name, _ any) bool {
		if err = n.a.pods.readNode(ctx, n, name.(string)); err != nil {
			err = fmt.Errorf("list the pods of node %s: %w", name, err)
			return false
		}
		n.unread.Delete(name)
		return true
	})
	return err
}

// open makes the node ready: from now on addresses are given on it. Those that
// are not known to have been free may have been in use a moment ago: they cool
// first.
func (n *node) open(i cloud.Instance, limits cloud.Limits, b *budget, eni cloud.Interface, free []netip.Prefix) {
	n.mu.Lock()
	n.eni, n.nitro, n.budget = i.PrimaryENI, limits.Nitro, b
	n.ledger.SetSlots(limits.AddressesPerInterface - 1)
	n.mu.Unlock()
	n.applyMode()
	n.update(func(l *ledger.Ledger, now time.Time) {
		if n.retired {
			return
		}
		l.Sync(eni.Blocks, eni.AsOf, now)
		l.Trust(free, now)
		n.lodge(eni.Blocks)
		n.known = true
		n.ready = !eni.AsOf.Before(n.a.certain())
	})
	n.a.log.Info("node ready", "node", n.name(), "instance", i.ID, "type", i.Type, "eni", i.PrimaryENI,
		"subnet", i.SubnetID, "slots", limits.AddressesPerInterface-1, "blocks", len(eni.Blocks))
}

// applyMode gives the ledger the mode that users want, as far as the instance
// can: prefixes need Nitro.
func (n *node) applyMode() {
	cannot := false
	n.update(func(l *ledger.Ledger, now time.Time) {
		mode := n.a.state.Load().Mode
		if cannot = n.budget != nil && mode == ledger.Prefix && !n.nitro; cannot {
			mode = ledger.SecondaryIP
		}
		l.SetMode(mode)
		n.ready = n.ready && !now.Before(n.a.certain())
	})
	if cannot {
		n.a.events.notNitro(n.name())
	}
}

// turnAway answers the binds that wait for an address that will not come; whoever
// calls it holds the lock.
func (n *node) turnAway(why error) {
	for uid, b := range n.bindings {
		if n.awaits(uid) {
			n.finish(uid)
			n.ledger.Cancel(uid, time.Now())
			b.tell(outcome{err: why})
		}
	}
}

// retire ends a node that is no more, and gives back what it had set aside in
// its subnet.
func (n *node) retire() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.retired, n.known, n.ready = true, false, false
	n.turnAway(errUnknownNode)
	n.summary.Store(&summary{})
	for uid := range n.bindings {
		n.finish(uid)
	}
	if n.budget != nil {
		n.budget.unclaim(n.own.kind, n.own.count)
		n.own = claim{}
	}
}
