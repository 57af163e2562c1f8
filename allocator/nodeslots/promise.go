package nodeslots

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/ledger"
)

// Object is what is known of a node's NodeSlots object. It is safe for concurrent use.
type Object struct {
	recorder *Recorder
	node     Node

	// promised says that the list stands, or that a write of it may yet be carried out.
	// It is set before the free addresses are looked at, and read after one of them was
	// taken, so one of the two sees the other.
	promised atomic.Bool

	writing chan struct{} // holds one token while the object is written, and guards all below
	name    string        // that of the Node that offered the capacity when it was written last
	version string        // resourceVersion as it was read or written last; empty: not known
	last    v1alpha1.NodeSlotsStatus
}

// begin waits for the turn to write. It is a channel and no mutex, since it is held over
// I/O.
func (o *Object) begin() { o.writing <- struct{}{} }

func (o *Object) end() { <-o.writing }

// Known reads which addresses the leader before has promised to be free. What is missing,
// damaged or not to be trusted is no promise, but has to be taken back all the same.
func (o *Object) Known(ctx context.Context, eni string, trusted bool) []netip.Prefix {
	o.begin()
	defer o.end()
	o.name = o.node.Name()
	status, version, err := o.recorder.o.Store.Read(ctx, o.name)
	o.promised.Store(!apierrors.IsNotFound(err))
	o.version = version
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		o.recorder.o.Log.Info("cannot read NodeSlots: free addresses cool first", "node", o.name, "error", err.Error())
		return nil
	case status.NetworkInterface != eni || !trusted:
		return nil
	}
	free, err := parse(status.KnownFree)
	if err != nil {
		o.recorder.o.Log.Info("NodeSlots is damaged: free addresses cool first", "node", o.name, "error", err.Error())
	}
	return free
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

// Promises says that the list of free addresses stands, or may.
func (o *Object) Promises() bool { return o.promised.Load() }

// TakeBack takes the list back, if it stands: from now on free addresses may be given.
func (o *Object) TakeBack(ctx context.Context) error {
	if !o.promised.Load() {
		return nil
	}
	o.begin()
	defer o.end()
	if !o.promised.Load() {
		return nil
	}
	if err := o.follow(ctx); err != nil {
		return err
	}
	status, _, _ := o.node.Status(stillness)
	status.KnownFree = nil
	if err := o.put(ctx, status); err != nil {
		return fmt.Errorf("take back the list of free addresses in NodeSlots %s: %w", o.name, err)
	}
	return nil
}

// Seen has the object written anew unless it has the version that was written last. It
// does not wait for a write under way, whose version it would not know.
func (o *Object) Seen(version string) { go o.verify(version) }

func (o *Object) verify(version string) {
	o.begin()
	defer o.end()
	if o.version == "" || o.version == version {
		return
	}
	if order, err := resourceversion.CompareResourceVersion(version, o.version); err == nil && order < 0 {
		return // the news is older than what was written since
	}
	o.version, o.last = "", v1alpha1.NodeSlotsStatus{}
	o.recorder.Changed(o.node.Name())
}

// follow goes on with the object of the Node that offers the capacity now. That of
// the one before goes, and with it the list that it may have; what list the new one may
// have from before has to be taken back. Caller has the turn.
func (o *Object) follow(ctx context.Context) error {
	name := o.node.Name()
	if o.name == name {
		return nil
	}
	if o.name != "" {
		if err := o.recorder.o.Store.Remove(ctx, o.name); err != nil {
			return fmt.Errorf("delete NodeSlots %s: %w", o.name, err)
		}
	}
	o.name, o.version, o.last = name, "", v1alpha1.NodeSlotsStatus{}
	o.promised.Store(true)
	return nil
}

// put writes the status. Caller has the turn.
func (o *Object) put(ctx context.Context, status v1alpha1.NodeSlotsStatus) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	version, err := o.recorder.o.Store.Write(ctx, o.name, o.version, status)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) { // another client has changed or removed it
		o.version = ""
		version, err = o.recorder.o.Store.Write(ctx, o.name, "", status)
	}
	if err != nil {
		return err
	}
	o.version, o.last = version, status
	o.promised.Store(len(status.KnownFree) > 0)
	return nil
}
