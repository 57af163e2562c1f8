package nodeslots

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
)

// Object is what is known of a node's NodeSlots object. It is safe for concurrent use.
type Object struct {
	recorder *Recorder
	node     Node

	// promised says that the list of free addresses stands, or that a write of it may yet
	// be carried out. It is set before the free addresses are looked at, and read after
	// one of them was taken, so one of the two sees the other.
	promised atomic.Bool

	seen atomic.Pointer[string] // the version that the cluster has, until it is looked at; nil: no news

	turn    chan struct{} // holds one token while somebody has the turn to write; what follows is theirs
	name    string        // that of the Node that offered the capacity when it was written last; empty: none did
	version string        // resourceVersion as it was read or written last; empty: not known
	last    v1alpha1.NodeSlotsStatus
	shown   []metav1.Condition // the conditions that were read or written last
}

// begin waits for the turn to write. That is a channel and no mutex, since it is held over
// I/O and the wait ends with ctx.
func (o *Object) begin(ctx context.Context) error {
	select {
	case o.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a write of NodeSlots %s: %w", o.node.Name(), ctx.Err())
	}
}

func (o *Object) end() { <-o.turn }

// follow goes on with the object of the Node that offers the capacity now. That of the one
// before goes, and with it the list that it may have; what list the other one may have from
// before has to be taken back. Caller has the turn.
func (o *Object) follow(ctx context.Context) error {
	name := o.node.Name()
	if o.name == name {
		return nil
	}
	if o.name != "" {
		if err := o.recorder.options.Store.Remove(ctx, o.name); err != nil {
			return fmt.Errorf("delete NodeSlots %s: %w", o.name, err)
		}
	}
	o.name, o.version, o.last, o.shown = name, "", v1alpha1.NodeSlotsStatus{}, nil
	o.promised.Store(true)
	return nil
}

// dated gives conditions the time since when each is as it is: that which it had when it was
// read or written last, else now. Caller has the turn.
func (o *Object) dated(conditions []metav1.Condition) []metav1.Condition {
	dated := slices.Clone(conditions)
	for i := range dated {
		c := &dated[i]
		c.LastTransitionTime = metav1.NewTime(time.Now().Truncate(time.Second)) // as the API server keeps it
		if before := meta.FindStatusCondition(o.shown, c.Type); before != nil && before.Status == c.Status {
			c.LastTransitionTime = before.LastTransitionTime
		}
	}
	return dated
}

// put writes the status, which may take as long as writeLimit. Caller has the turn.
func (o *Object) put(ctx context.Context, status v1alpha1.NodeSlotsStatus) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	version, err := o.recorder.options.Store.Write(ctx, o.name, o.version, status)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) { // another client has changed or removed it
		o.version, o.last = "", v1alpha1.NodeSlotsStatus{}
		version, err = o.recorder.options.Store.Write(ctx, o.name, "", status)
	}
	if err != nil {
		return err // the list may stand by now, or still: promised is left as it is
	}
	o.version, o.last, o.shown = version, status, status.Conditions
	o.promised.Store(len(status.KnownFree) > 0)
	return nil
}
