package nodeslots

import (
	"context"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/work"
)

const (
	writeEvery = time.Second     // at the most, for one node
	stillness  = 5 * time.Second // without an address given, before the free ones are written down as such
	writeLimit = 5 * time.Second // for one write; binds on the node wait for it
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

// Options are what a Recorder works with. All are required; the zero Log logs nothing.
type Options struct {
	Store kube.NodeSlots            // not read from a cache, and gated by the lease
	Find  func(node string) *Object // the object of whose node a Node is one; nil: of none
	Pace  *work.Pace
	Log   logr.Logger
}

// Recorder writes the objects. It is safe for concurrent use.
type Recorder struct {
	options Options
	queue   *work.Queue[string]
}

// New makes a Recorder. See Run.
func New(o Options) *Recorder { return &Recorder{o, work.NewQueue[string]("nodeslots", o.Pace)} }

// Object is the object of a node. Nothing is read or written yet.
func (r *Recorder) Object(n Node) *Object {
	return &Object{recorder: r, node: n, turn: make(chan struct{}, 1)}
}

// Changed has a Node's object written soon, or removed where another Node offers the
// capacity.
func (r *Recorder) Changed(node string) { r.queue.AddAfter(node, writeEvery) }

// Run writes until ctx ends. What fails is tried again, ever more slowly.
func (r *Recorder) Run(ctx context.Context) { r.queue.Run(ctx, r.record) }

func (r *Recorder) record(ctx context.Context, node string) error {
	switch o := r.options.Find(node); {
	case o == nil:
		return nil
	case o.node.Name() != node:
		return r.options.Store.Remove(ctx, node)
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

// Seen takes in the version of the object that the cluster has, empty where there is none.
// What another client has changed or removed is written anew. That is looked at by the next
// write and not here, where one may be under way whose version is not known yet.
func (o *Object) Seen(version string) {
	o.seen.Store(&version)
	o.recorder.Changed(o.node.Name())
}

// write brings an object up to date. Its free addresses are listed where none was given
// for as long as still.
func (o *Object) write(ctx context.Context, still time.Duration) error {
	if err := o.begin(ctx); err != nil {
		return err
	}
	defer o.end()
	if err := o.follow(ctx); err != nil {
		return err
	}
	o.verify()
	status, wait, ready := o.promise(still)
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
		o.recorder.options.Log.Info("cannot write NodeSlots", "node", o.name, "error", err.Error())
		return err
	}
	return nil
}

// verify has the object written anew unless the cluster has the version that was written
// last, or an older one: that news is late. Caller has the turn.
func (o *Object) verify() {
	seen := o.seen.Swap(nil)
	if seen == nil || o.version == "" || *seen == o.version {
		return
	}
	if order, err := resourceversion.CompareResourceVersion(*seen, o.version); err == nil && order < 0 {
		return
	}
	o.version, o.last = "", v1alpha1.NodeSlotsStatus{}
}
