package node

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"slotwise.dev/slotwise/allocator/budget"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/nodeslots"
	"slotwise.dev/slotwise/allocator/pods"
)

// newInstance is the pause of discovery from which on an instance that EC2 does not know
// is no news of a node that has just joined.
const newInstance = 8 * time.Second

// discovery finds out what a node is.
type discovery struct {
	core  *core
	slots *nodeslots.Object
}

// discovered is what a node begins with.
type discovered struct {
	instance cloud.Instance
	limits   cloud.Limits
	budget   *budget.Budget
	eni      cloud.Interface
	free     []netip.Prefix // that the leader before has promised to be free
}

// run reads the node from EC2 and from the API server until both have answered, or ctx
// ends. Only then are addresses given on it. That EC2 answers again after it did not, one
// success of any node shows to all. asOf is the time of which the interface was shown.
func (d *discovery) run(ctx context.Context) (asOf time.Time, ok bool) {
	for pause := time.Duration(0); ; {
		recovered := d.core.shared.EC2.Recovered()
		found, err := d.read(ctx)
		if err == nil {
			d.open(found)
			return found.eni.AsOf, true
		}
		if ctx.Err() != nil {
			return time.Time{}, false
		}
		d.report(err, pause)
		pause = nextPause(cloud.Classify(err), pause)
		select {
		case <-ctx.Done():
			return time.Time{}, false
		case <-recovered:
			pause = 0
		case <-time.After(jitter(pause)):
		}
	}
}

func nextPause(class cloud.Class, pause time.Duration) time.Duration {
	if class == cloud.Lost || class == cloud.RetryLater {
		return silencePause.after(pause)
	}
	return discoveryPause.after(pause)
}

// open makes the node ready: from now on addresses are given on it. Those that are not
// known to have been free may have been in use a moment ago: they cool first.
func (d *discovery) open(x discovered) {
	c := d.core
	c.mu.Lock()
	c.eni, c.nitro, c.budget = x.instance.PrimaryENI, x.limits.Nitro, x.budget
	c.ledger.SetSlots(x.limits.AddressesPerInterface - 1)
	c.mu.Unlock()
	c.node.Apply()
	c.update(func(s *state, now time.Time) {
		if s.phase == retired {
			return
		}
		s.ledger.Sync(x.eni.Blocks, x.eni.AsOf, now)
		s.ledger.Trust(x.free, now)
		s.lodge(x.eni.Blocks, now)
		s.settle(x.eni.AsOf)
	})
	c.shared.Log.Info("node ready", "node", c.node.Name(), "instance", x.instance.ID, "type", x.instance.Type,
		"eni", x.instance.PrimaryENI, "subnet", x.instance.SubnetID,
		"slots", x.limits.AddressesPerInterface-1, "blocks", len(x.eni.Blocks))
}

// report tells why a node is not usable yet, where that is more than a moment's trouble.
func (d *discovery) report(err error, pause time.Duration) {
	name, instance := d.core.node.Name(), d.core.node.ID.Instance
	d.core.shared.Log.Info("node not usable yet", "node", name, "instance", instance, "error", err.Error())
	switch class := cloud.Classify(err); {
	case class == cloud.Refused:
		unsupported(name, err).report(d.core.shared.Events)
	case class == cloud.Gone && pause >= newInstance: // EC2 may not know a new one at once
		unknownInstance(name, instance).report(d.core.shared.Events)
	}
}

// read reads all that the ledger of the node begins with.
func (d *discovery) read(ctx context.Context) (x discovered, err error) {
	n, shared := d.core.node, d.core.shared
	if x.instance, err = shared.EC2.Instance(ctx, n.ID.Instance); err != nil {
		return x, err
	}
	if x.limits, err = shared.EC2.Limits(ctx, x.instance.Type); err != nil {
		return x, err
	}
	if x.budget, err = shared.Subnets.Budget(ctx, x.instance.SubnetID); err != nil {
		return x, err
	}
	n.ID.dns.Store(&x.instance.DNSName)
	shared.Listener.Named(n)
	if err := x.budget.Unread; err != nil {
		reservationsUnread(n.Name(), x.budget.ID, err).report(shared.Events)
	}
	if err := readPods(ctx, n, shared.Watch); err != nil {
		return x, err
	}
	// Addresses cool from the moment in which the node is opened. A pod that ends after
	// that has to be seen, so all pods are known first.
	select {
	case <-shared.Gate.PodsRead():
	case <-ctx.Done():
		return x, ctx.Err()
	}
	if x.eni, err = shared.EC2.Interface(ctx, x.instance.PrimaryENI); err != nil {
		return x, err
	}
	x.eni.Blocks = x.budget.Completed(x.eni.ID, x.eni.Blocks, x.eni.AsOf) // what this process did for a Node before
	// Of several Nodes another may have been the one that offered, so what is written is
	// no promise then; nor is it where another allocator gives the addresses.
	trusted := len(n.ID.Names().Others) == 0 && shared.Policy.Gives()
	x.free = d.slots.Known(ctx, x.eni.ID, trusted)
	return x, nil
}

// readPods reads the pods of all Nodes of the instance that the watch's first list has
// passed over.
func readPods(ctx context.Context, n *Node, watch *pods.Watch) error {
	for name := n.ID.nextUnread(); name != ""; name = n.ID.nextUnread() {
		if err := watch.ReadNode(ctx, n, name); err != nil {
			return fmt.Errorf("list the pods of node %s: %w", name, err)
		}
		n.ID.podsRead(name)
	}
	return nil
}
