// Package annotate writes addresses on pods that were bound without one, past the
// extender.
package annotate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/work"
)

// Annotation is an address on its way to a pod that somebody else has bound.
type Annotation struct {
	Pod     types.NamespacedName
	UID     types.UID
	Node    string
	Address netip.Prefix
}

// Owner is the node whose address it is.
type Owner interface {
	// Owes says that the pod is still to get it.
	Owes(x Annotation) bool
	// TakeBack takes the promise back that the node's free addresses are free.
	TakeBack(ctx context.Context) error
}

// Options are what an Annotator works with.
type Options struct {
	Pods   kube.Pods
	Find   func(node string) Owner // nil: there is no such node
	Events events.Reporter
	Log    logr.Logger
}

// Annotator writes addresses.
type Annotator struct {
	o     Options
	queue *work.Queue[Annotation]
}

// New makes an Annotator.
func New(o Options) *Annotator { return &Annotator{o, work.NewQueue[Annotation]("annotations", nil)} }

// Add has an address written.
func (w *Annotator) Add(x Annotation) { w.queue.Add(x) }

// Run writes until ctx ends.
func (w *Annotator) Run(ctx context.Context) { w.queue.Run(ctx, w.annotate) }

func (w *Annotator) annotate(ctx context.Context, x Annotation) error {
	owner := w.o.Find(x.Node)
	if owner == nil || !owner.Owes(x) {
		return nil // whoever took it back has seen to the pod
	}
	if err := owner.TakeBack(ctx); err != nil {
		return err
	}
	err := w.o.Pods.Annotate(ctx, x.Pod, x.UID, x.Address)
	switch {
	case err == nil:
		w.o.Events.Allocated(x.Pod, x.UID, x.Address)
	case errors.Is(err, kube.ErrNotLeading): // it is tried again: the lease may yet be renewed
	case kube.Ended(ctx, w.o.Pods, err, x.Pod, x.UID):
		return nil // the watch says so too
	default:
		w.o.Log.Info("cannot annotate a pod", "pod", x.Pod, "address", x.Address.String(), "error", err.Error())
		w.o.Events.Warn(events.Pod(x.Pod, x.UID), events.ReasonFailed, events.ActionAllocate,
			fmt.Sprintf("Failed to give the pod its address: %v. It is tried again.", err))
	}
	return err
}
