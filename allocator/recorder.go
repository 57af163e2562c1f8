package allocator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/ledger"
)

const (
	recordEvery = time.Second     // at the most, for one node
	stillness   = 5 * time.Second // without an address given, before the free ones are written down as such
	writeLimit  = 5 * time.Second // for one write; binds on the node wait for it
)

// recorder keeps the NodeSlots objects. They show operators the ledgers, and
// tell the next leader which addresses were free.
//
// After a crash an address may be given at once only if no pod can have had it
// a moment ago. The list status.knownFree is a promise of that: nobody gives an
// address while its node's list stands. So before the first address of a busy
// time is given, the list is taken back (open); once the node has been still
// for a while, it is written anew. A burst costs one write a node.
type recorder struct {
	workqueue.TypedRateLimitingInterface[string]
	a      *Allocator
	client client.Client // without a cache for NodeSlots
}

func newRecorder(a *Allocator, c client.Client) *recorder {
	return &recorder{TypedRateLimitingInterface: queue[string]("nodeslots"), a: a, client: c}
}

// record is what is known of a node's NodeSlots object.
type record struct {
	// promised says that the list stands, or that a write of it may yet be
	// carried out. It is set before the free addresses are looked at, and read
	// after one of them was taken, so one of the two sees the other.
	promised atomic.Bool

	mu      sync.Mutex // held while the object is written
	object  string     // its name: that of the Node that offered the capacity when it was written last
	last    v1alpha1.NodeSlotsStatus
	version string // resourceVersion of the object as it was read or written last
}

func (r *recorder) run(ctx context.Context) {
	drain(ctx, r.TypedRateLimitingInterface, func(ctx context.Context, name string) error {
		switch n := r.a.node(name); {
		case n == nil:
			return nil
		case n.name() != name:
			return r.remove(ctx, name)
		default:
			return r.write(ctx, n, stillness)
		}
	})
}

// remove deletes the object of a Node whose capacity another one offers.
func (r *recorder) remove(ctx context.Context, name string) error {
	if !r.a.held() {
		return errNotLeading
	}
	return client.IgnoreNotFound(r.client.Delete(ctx, &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: name}}))
}

// Recorded makes known what the cluster has of a NodeSlots object: its version, empty
// where there is none. What another client has changed or removed is written anew.
func (a *Allocator) Recorded(name, version string) {
	n := a.node(name)
	if n == nil || n.name() != name {
		return
	}
	go n.record.verify(version, func() { a.record(n) })
}

// verify has the object written anew unless it has the version that was written last.
// It waits for a write under way, whose version it would not know.
func (x *record) verify(version string, again func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.version == "" || x.version == version {
		return
	}
	if order, err := resourceversion.CompareResourceVersion(version, x.version); err == nil && order < 0 {
		return // the news is older than what was written since
	}
	x.version, x.last = "", v1alpha1.NodeSlotsStatus{}
	again()
}

// record has a node's object written soon.
func (a *Allocator) record(n *node) { a.recorder.AddAfter(n.name(), recordEvery) }

// write brings a node's object up to date. Its free addresses are listed where
// none was given for as long as still.
func (r *recorder) write(ctx context.Context, n *node, still time.Duration) error {
	n.record.mu.Lock()
	defer n.record.mu.Unlock()
	if err := r.follow(ctx, n); err != nil {
		return err
	}
	stood := n.record.promised.Swap(true)
	status, wait, ready := n.status(still)
	if len(status.KnownFree) == 0 {
		n.record.promised.Store(stood)
	}
	if !ready {
		return nil
	}
	if wait > 0 {
		r.AddAfter(n.name(), wait)
	}
	if reflect.DeepEqual(status, n.record.last) {
		return nil
	}
	if err := r.put(ctx, n, status); err != nil {
		r.a.log.Info("cannot write NodeSlots", "node", n.name(), "error", err.Error())
		return err
	}
	return nil
}

// open takes the list of a node's free addresses back, if it stands: from now
// on they may be given.
func (r *recorder) open(ctx context.Context, n *node) error {
	if !n.record.promised.Load() {
		return nil
	}
	n.record.mu.Lock()
	defer n.record.mu.Unlock()
	if !n.record.promised.Load() {
		return nil
	}
	if err := r.follow(ctx, n); err != nil {
		return err
	}
	status, _, _ := n.status(stillness)
	status.KnownFree = nil
	if err := r.put(ctx, n, status); err != nil {
		return fmt.Errorf("take back the list of free addresses in NodeSlots %s: %w", n.name(), err)
	}
	return nil
}

// follow goes on with the object of the Node that offers the capacity now. That of
// the one before goes, and with it the list that it may have; what list the new one may
// have from before has to be taken back. n.record is locked.
func (r *recorder) follow(ctx context.Context, n *node) error {
	name := n.name()
	if n.record.object == name {
		return nil
	}
	if n.record.object != "" {
		if err := r.remove(ctx, n.record.object); err != nil {
			return fmt.Errorf("delete NodeSlots %s: %w", n.record.object, err)
		}
	}
	n.record.object, n.record.version, n.record.last = name, "", v1alpha1.NodeSlotsStatus{}
	n.record.promised.Store(true)
	return nil
}

// close lists the free addresses of all nodes, for the next leader. Nobody may
// give any from here on.
func (r *recorder) close(ctx context.Context) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(patchers)
	for _, n := range r.a.everyNode() {
		group.Go(func() error {
			_ = r.write(ctx, n, 0) // logged; without it the next leader lets them cool
			return nil
		})
	}
	_ = group.Wait()
}

// status sums a node up. Its free addresses are listed where none was given for
// as long as still; else wait is how long that takes yet.
func (n *node) status(still time.Duration) (s v1alpha1.NodeSlotsStatus, wait time.Duration, ready bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ready {
		return s, 0, false
	}
	c := n.ledger.Counts()
	s = v1alpha1.NodeSlotsStatus{
		Mode:             c.Mode.String(),
		NetworkInterface: n.eni,
		Subnet:           n.budget.id,
		Slots:            int32(c.Slots),
		SecondaryIPs:     int32(c.SecondaryIPs),
		Prefixes:         int32(c.Prefixes),
		InUse:            int32(c.InUse),
		Free:             int32(c.Free),
		Cooling:          int32(c.Cooling),
		Waiting:          int32(c.Waiting),
		Remaining:        int32(max(0, n.remaining())),
		Usable:           int32(n.usable()),
	}
	if !n.a.running() || n.a.observing() {
		return s, 0, true // others may give what is free
	}
	if wait = time.Until(n.given.Add(still)); wait > 0 || len(n.bindings) > 0 {
		return s, wait, true
	}
	for _, p := range n.ledger.Free() {
		s.KnownFree = append(s.KnownFree, p.String())
	}
	return s, 0, true
}

// put writes the status. A leader that lost its lease between the look at it and
// the write is refused by the API server: the next leader has written since.
func (r *recorder) put(ctx context.Context, n *node, status v1alpha1.NodeSlotsStatus) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	err := r.patch(ctx, n, status)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		n.record.version = "" // another hand has changed or removed it
		err = r.patch(ctx, n, status)
	}
	if err != nil {
		return err
	}
	n.record.last = status
	n.record.promised.Store(len(status.KnownFree) > 0)
	return nil
}

// patch writes every field, zeros included, over the version that is known.
func (r *recorder) patch(ctx context.Context, n *node, status v1alpha1.NodeSlotsStatus) error {
	if n.record.version == "" {
		if err := r.find(ctx, n); err != nil {
			return err
		}
	}
	if !r.a.held() {
		return errNotLeading
	}
	text, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": n.record.version},
		"status":   status,
	})
	if err != nil {
		return err
	}
	o := &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: n.record.object}}
	if err := r.client.Status().Patch(ctx, o, client.RawPatch(types.MergePatchType, text)); err != nil {
		return err
	}
	n.record.version = o.ResourceVersion
	return nil
}

// find reads the version of a node's object, which it makes where there is none.
func (r *recorder) find(ctx context.Context, n *node) error {
	var o v1alpha1.NodeSlots
	err := r.client.Get(ctx, client.ObjectKey{Name: n.record.object}, &o)
	if apierrors.IsNotFound(err) {
		return r.create(ctx, n)
	}
	n.record.version = o.ResourceVersion
	if err != nil {
		return err
	}
	return r.own(ctx, n, &o)
}

// create makes the object, owned by its Node so that it goes with it.
func (r *recorder) create(ctx context.Context, n *node) error {
	owner, err := r.owner(ctx, n)
	if err != nil {
		return err
	}
	o := &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: n.record.object, OwnerReferences: owner}}
	if err := r.client.Create(ctx, o); err != nil {
		return err
	}
	n.record.version = o.ResourceVersion
	return nil
}

// own gives an object back to its Node, where it is nobody's, or that of a Node of the
// same name from before.
func (r *recorder) own(ctx context.Context, n *node, o *v1alpha1.NodeSlots) error {
	owner, err := r.owner(ctx, n)
	if err != nil || reflect.DeepEqual(owner, o.OwnerReferences) {
		return err
	}
	if !r.a.held() {
		return errNotLeading
	}
	before := o.DeepCopy()
	o.OwnerReferences = owner
	if err := r.client.Patch(ctx, o, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	n.record.version = o.ResourceVersion
	return nil
}

// owner is what says that the object is the Node's.
func (r *recorder) owner(ctx context.Context, n *node) ([]metav1.OwnerReference, error) {
	var node corev1.Node
	if err := r.client.Get(ctx, client.ObjectKey{Name: n.record.object}, &node); err != nil {
		return nil, err
	}
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}, nil
}

// known reads which addresses the leader before has promised to be free. What
// is missing or damaged is no promise.
func (r *recorder) known(ctx context.Context, n *node, eni string) (free []netip.Prefix) {
	n.record.mu.Lock()
	defer n.record.mu.Unlock()
	all := n.names.Load()
	n.record.object = all.offers
	var o v1alpha1.NodeSlots
	err := r.client.Get(ctx, client.ObjectKey{Name: all.offers}, &o)
	n.record.promised.Store(!apierrors.IsNotFound(err)) // whatever it says stands until it is taken back
	n.record.version = o.ResourceVersion
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		r.a.log.Info("cannot read NodeSlots: free addresses cool first", "node", n.name(), "error", err.Error())
		return nil
	}
	if o.Status.NetworkInterface != eni || r.a.observing() || len(all.others) > 0 {
		return nil // of several Nodes another may have been the one that offered
	}
	for _, text := range o.Status.KnownFree {
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Bits() < ledger.PrefixBits {
			r.a.log.Info("NodeSlots is damaged: free addresses cool first", "node", n.name(), "entry", text)
			return nil
		}
		free = append(free, p)
	}
	return free
}
