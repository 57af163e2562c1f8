package nodeslots

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/ledger"
)

// Known reads which addresses the leader before has promised to be free. What is missing,
// damaged or not to be trusted is no promise, but has to be taken back all the same.
func (o *Object) Known(ctx context.Context, eni string, trust bool) []netip.Prefix {
	o.promised.Store(true) // until it is certain that there is no list
	var status v1alpha1.NodeSlotsStatus
	// The turn within the pace, as in a write by the queue: in the other order each of
	// many reads could hold the turn that a write under way waits for.
	err := o.recorder.options.Pace.Do(ctx, func() (err error) {
		status, err = o.read(ctx)
		return err
	})
	switch {
	case apierrors.IsNotFound(err), ctx.Err() != nil:
		return nil
	case err != nil:
		o.recorder.options.Log.Info("cannot read NodeSlots: free addresses cool first", "node", o.node.Name(), "error", err.Error())
		return nil
	case status.NetworkInterface != eni || !trust:
		return nil
	}
	free, err := parse(status.KnownFree)
	if err != nil {
		o.recorder.options.Log.Info("NodeSlots is damaged: free addresses cool first", "node", o.node.Name(), "error", err.Error())
	}
	return free
}

// read reads the object, and what it says of a list.
func (o *Object) read(ctx context.Context) (v1alpha1.NodeSlotsStatus, error) {
	if err := o.begin(ctx); err != nil {
		return v1alpha1.NodeSlotsStatus{}, err
	}
	defer o.end()
	o.name = o.node.Name()
	status, version, err := o.recorder.options.Store.Read(ctx, o.name)
	o.promised.Store(!apierrors.IsNotFound(err))
	o.version, o.shown = version, status.Conditions
	return status, err
}

// parse reads a list of free addresses, or nothing of it.
func parse(texts []string) (free []netip.Prefix, err error) {
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Bits() < ledger.PrefixBits {
			return nil, fmt.Errorf("%q is no address or /28", text)
		}
		free = append(free, p)
	}
	return free, nil
}

// Promises says that the list of free addresses stands, or may. It takes no lock.
func (o *Object) Promises() bool { return o.promised.Load() }

// TakeBack takes the list back, if it stands. It is called after an address was taken out
// of the ledger and before it is given to a pod, and before a block is given back. An
// error means that the list may stand still.
func (o *Object) TakeBack(ctx context.Context) error {
	if !o.Promises() {
		return nil
	}
	if err := o.begin(ctx); err != nil {
		return err
	}
	defer o.end()
	if !o.Promises() {
		return nil
	}
	if err := o.follow(ctx); err != nil {
		return err
	}
	status, _, _ := o.node.Status(stillness)
	status.Conditions, status.KnownFree = o.dated(status.Conditions), nil
	if err := o.put(ctx, status); err != nil {
		return fmt.Errorf("take back the list of free addresses in NodeSlots %s: %w", o.name, err)
	}
	return nil
}

// promise asks the node for its status as it may be written. From here on the list counts
// as standing, unless there is none. Caller has the turn.
func (o *Object) promise(still time.Duration) (status v1alpha1.NodeSlotsStatus, wait time.Duration, ready bool) {
	stood := o.promised.Swap(true) // first: who takes an address after the look at them sees it
	status, wait, ready = o.node.Status(still)
	status.Conditions = o.dated(status.Conditions)
	if len(status.KnownFree) == 0 {
		o.promised.Store(stood)
	}
	return status, wait, ready
}
