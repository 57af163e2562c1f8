package nodeslots

import (
	"context"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/work"
)

const (
	recordEvery = time.Second     // at the most, for one node
	stillness   = 5 * time.Second // without an address given, before the free ones are written down as such
	writeLimit  = 5 * time.Second // for one write; binds on the node wait for it
)

// Node is what an object shows.
type Node interface {
	// Name is the Node that offers the capacity: the object's name.
	Name() string
	// Status sums the node up. Its free addresses are listed where none was given for as
	// long as still; else wait is how long that takes yet. It answers false where the
	// node is not ready.
	Status(still time.Duration) (s v1alpha1.NodeSlotsStatus, wait time.Duration, ready bool)
}

// Options are what a Recorder works with.
type Options struct {
	Store kube.NodeSlots
	Find  func(node string) *Object // nil: there is no such node
	Log   logr.Logger
}

// Recorder writes the objects.
type Recorder struct {
	o     Options
	queue *work.Queue[string]
}

// New makes a Recorder.
func New(o Options) *Recorder { return &Recorder{o, work.NewQueue[string]("nodeslots")} }

// Object is the object of a node.
func (r *Recorder) Object(n Node) *Object {
	return &Object{recorder: r, node: n, writing: make(chan struct{}, 1)}
}

// Changed has a Node's object written soon.
func (r *Recorder) Changed(node string) { r.queue.AddAfter(node, recordEvery) }

// Run writes until ctx ends.
func (r *Recorder) Run(ctx context.Context) { r.queue.Run(ctx, r.record) }

// record brings the object of a Node up to date: there is none where another Node offers
// the capacity.
func (r *Recorder) record(ctx context.Context, node string) error {
	switch o := r.o.Find(node); {
	case o == nil:
		return nil
	case o.node.Name() != node:
		return r.o.Store.Remove(ctx, node)
	default:
		return o.write(ctx, stillness)
	}
}

// Close lists the free addresses of all nodes, for the next leader. Nobody may give any
// from here on. What cannot be written cools first with the next leader.
func (r *Recorder) Close(ctx context.Context, all []*Object) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(work.Workers)
	for _, o := range all {
		group.Go(func() error {
			_ = o.write(ctx, 0) // logged
			return nil
		})
	}
	_ = group.Wait()
}

// write brings an object up to date. Its free addresses are listed where none was given
// for as long as still.
func (o *Object) write(ctx context.Context, still time.Duration) error {
	o.begin()
	defer o.end()
	if err := o.follow(ctx); err != nil {
		return err
	}
	stood := o.promised.Swap(true)
	status, wait, ready := o.node.Status(still)
	if len(status.KnownFree) == 0 {
		o.promised.Store(stood)
	}
	if !ready {
		return nil
	}
	if wait > 0 {
		o.recorder.queue.AddAfter(o.name, wait)
	}
	if reflect.DeepEqual(status, o.last) {
		return nil
	}
	if err := o.put(ctx, status); err != nil {
		o.recorder.o.Log.Info("cannot write NodeSlots", "node", o.name, "error", err.Error())
		return err
	}
	return nil
}
