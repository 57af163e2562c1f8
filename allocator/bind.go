package allocator

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/vpc"
)

// Why a pod is not bound. The scheduler shows these texts on the pod.
var (
	errUnknownNode = errors.New("the node is not a Windows node that Slotwise manages")
	errNotReady    = errors.New("the node's addresses are not known yet")
	errNotLeading  = errors.New("this replica of Slotwise no longer leads; the next leader takes over")
	errOff         = errors.New("Slotwise is switched off")
	errFull        = errors.New("the node has no address left")
	errNotSent     = errors.New("not bound")
	errOvertaken   = errors.New("another attempt to bind the pod has ended this one")
	errNoRoom      = errors.New("the node's subnet has no room for another address")
	errStalled     = errors.New("EC2 does not bring the node's network interface more addresses")
	errDuplicate   = errors.New("another Node of the same EC2 instance offers its addresses")
)

// binding is a pod that is being bound through the extender. It lasts until
// the watch shows the pod bound, or it is certain that it never will be, and
// over all calls of Bind for the pod. The node's lock guards it.
type binding struct {
	key     types.NamespacedName
	answer  chan outcome // of the latest Bind; takes one
	address netip.Prefix // as it is posted; invalid before, and in mode observe
	posts   int          // requests to the API server so far
	open    int          // of these, those under way
	since   time.Time    // when it last made progress
	lost    time.Time    // when the answer to a post was lost; zero: never
}

// lostTimeout is how long a request whose answer was lost may still be carried
// out. The API server gives up after 60 s.
const lostTimeout = 70 * time.Second

// inDoubt says that a post may yet be carried out.
func (b *binding) inDoubt() bool { return b.open > 0 || time.Since(b.lost) < lostTimeout }

type outcome struct {
	grant ledger.Grant
	err   error
}

// tell answers the latest Bind. One answer may follow another that was not taken yet;
// whoever calls it holds the node's lock, so it must not wait for that.
func (b *binding) tell(o outcome) {
	select {
	case <-b.answer:
	default:
	}
	b.answer <- o
}

// Bind takes an address on a node and binds the pod with it, in one write: the
// API server copies the annotations of a Binding onto the pod. Where the
// address must come from EC2 first, Bind waits for it until ctx ends. A pod
// that is not bound in the end keeps no address.
func (a *Allocator) Bind(ctx context.Context, key types.NamespacedName, uid types.UID, nodeName string) error {
	a.binds.Add(1)
	defer a.binds.Done()
	n := a.node(nodeName)
	if n == nil {
		return fmt.Errorf("bind %s to %s: %w", key, nodeName, errUnknownNode)
	}
	if n.name() != nodeName {
		return fmt.Errorf("bind %s to %s: %w", key, nodeName, errDuplicate)
	}
	if err := a.settleElsewhere(ctx, uid, n); err != nil {
		return fmt.Errorf("bind %s to %s: %w", key, nodeName, err)
	}
	began := time.Now()
	b, err := n.obtain(ctx, key, uid)
	if err == nil && b != nil {
		a.metrics.waited(time.Since(began))
		err = n.post(ctx, uid, b, nodeName)
	}
	if err != nil {
		return fmt.Errorf("bind %s to %s: %w", key, nodeName, err)
	}
	a.nominations.remove(uid)
	return nil
}

// obtain takes an address for a pod, or waits for the one that EC2 brings. The
// binding that it returns is ready to be posted; there is none for a pod that is
// bound here already.
func (n *node) obtain(ctx context.Context, key types.NamespacedName, uid types.UID) (*binding, error) {
	var b *binding
	var refusal error
	answer := make(chan outcome, 1)
	n.update(func(l *ledger.Ledger, now time.Time) {
		if refusal = n.refusal(); refusal != nil {
			return
		}
		if _, bound := n.pods[uid]; bound {
			return
		}
		g, ok := n.take(uid, now)
		if ok {
			n.given = now
			answer <- outcome{grant: g}
		} else {
			l.Wait(uid)
			if refusal = n.unfit(now); refusal != nil {
				l.Cancel(uid, now)
				return
			}
			if n.a.observing() {
				answer <- outcome{} // bound first, it gets its address from the other allocator
			}
		}
		b = n.begin(uid, key, answer)
	})
	if b == nil {
		return nil, refusal
	}
	select {
	case o := <-answer:
		if o.err == nil {
			if o.err = n.awaitKubelet(ctx); o.err != nil {
				n.abandon(uid, answer)
			}
		}
		return b, n.prepare(uid, b, o)
	case <-ctx.Done():
		n.abandon(uid, answer)
		return nil, fmt.Errorf("no answer from EC2 in time: %w", ctx.Err())
	}
}

// refusal says why nothing can be taken on this node at all.
func (n *node) refusal() error {
	switch {
	case !n.a.running():
		return errOff
	case !n.a.leading():
		return errNotLeading
	case !n.a.synced() || !n.ready:
		return errNotReady
	}
	return nil
}

// unfit says why one of the pods that wait cannot be served, if so.
func (n *node) unfit(now time.Time) error {
	n.settleClaim()
	c, limit := n.counts(now)
	available := n.budget.available(c.Mode)
	switch {
	case c.Remaining(min(n.own.count+available, limit)) >= 0:
		return nil
	case c.Open > 0 && limit == 0:
		return n.stalls[assigning].reason()
	case c.Open > n.own.count && available == 0:
		return errNoRoom
	}
	return errFull
}

// prepare enters the address that a binding is about to be posted with. A binding
// that has ended meanwhile keeps no address, so it must not be posted.
func (n *node) prepare(uid types.UID, b *binding, o outcome) error {
	if o.err != nil {
		return o.err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.bindings[uid] != b {
		return errOvertaken
	}
	b.address, b.since = n.format(o.grant), time.Now()
	b.posts++
	b.open++
	return nil
}

// abandon takes back what a bind was promised, unless another bind of the same
// pod has taken over, or it was posted before: then only the API server knows.
func (n *node) abandon(uid types.UID, answer chan outcome) {
	n.update(func(l *ledger.Ledger, now time.Time) {
		if b := n.bindings[uid]; b != nil && b.answer == answer && b.posts == 0 {
			n.finish(uid)
			l.Cancel(uid, now)
		}
	})
}

// refuseUnfit turns away the binds that can no longer be served, the latest
// first, so that their pods go to other nodes; whoever calls it holds the lock.
func (n *node) refuseUnfit() {
	now := time.Now()
	for err := n.unfit(now); err != nil; err = n.unfit(now) {
		uid, b := n.lastWaitingBind()
		if b == nil {
			return
		}
		n.ledger.Cancel(uid, now)
		n.finish(uid)
		b.tell(outcome{err: err})
	}
}

// awaits says that a bind waits for the pod's address; in mode observe none does.
func (n *node) awaits(uid types.UID) bool {
	a, known := n.ledger.Holder(uid)
	return known && !a.IsValid() && !n.a.observing()
}

// lastWaitingBind finds the bind that has waited for the shortest time.
func (n *node) lastWaitingBind() (last types.UID, b *binding) {
	for uid, x := range n.bindings {
		if !n.awaits(uid) {
			continue
		}
		if b == nil || x.since.After(b.since) {
			last, b = uid, x
		}
	}
	return last, b
}

// post writes the Binding, and finds out what became of it where the answer
// does not say.
func (n *node) post(ctx context.Context, uid types.UID, b *binding, to string) error {
	n.mu.Lock()
	address := b.address
	n.mu.Unlock()
	err := n.write(ctx, uid, b, to, address)
	n.mu.Lock()
	b.open--
	b.since = time.Now()
	if err != nil && !refuses(err) {
		b.lost = b.since
	}
	n.mu.Unlock()
	if err == nil {
		if address.IsValid() {
			n.a.events.allocated(b.key, uid, address)
		}
		return nil
	}
	if bound := n.verify(ctx, uid, b); bound {
		return nil
	}
	return err
}

// write makes the one request that binds the pod and gives it its address.
func (n *node) write(ctx context.Context, uid types.UID, b *binding, to string, address netip.Prefix) error {
	if err := n.a.recorder.open(ctx, n); err != nil {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	n.mu.Lock()
	current := n.bindings[uid] == b
	n.mu.Unlock()
	if !current {
		return fmt.Errorf("%w: %w", errNotSent, errOvertaken)
	}
	if !n.a.held() {
		return fmt.Errorf("%w: %w", errNotSent, errNotLeading)
	}
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.key.Namespace, Name: b.key.Name, UID: uid},
		Target:     corev1.ObjectReference{Kind: "Node", Name: to},
	}
	if address.IsValid() {
		binding.Annotations = map[string]string{vpc.Annotation: address.String()}
	}
	return n.a.kube.CoreV1().Pods(b.key.Namespace).Bind(ctx, binding, metav1.CreateOptions{})
}

// refuses says that the API server has certainly not done what it was asked.
func refuses(err error) bool {
	return errors.Is(err, errNotSent) || apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsForbidden(err) ||
		apierrors.IsInvalid(err) || apierrors.IsTooManyRequests(err) || utilnet.IsConnectionRefused(err)
}

// verify asks the API server what became of a pod that was to be bound, and
// brings the ledger to it.
func (n *node) verify(ctx context.Context, uid types.UID, b *binding) (bound bool) {
	n.mu.Lock()
	posts, doubt := b.posts, b.inDoubt()
	n.mu.Unlock()
	p, err := n.a.kube.CoreV1().Pods(b.key.Namespace).Get(ctx, b.key.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) || err == nil && (p.UID != uid || finished(p)):
		// Whether the pod ever ran with the address is unknown: it cools.
		n.drop(uid, b, posts, (*ledger.Ledger).End)
	case err != nil:
		return false
	case p.Spec.NodeName == n.name() || n.a.node(p.Spec.NodeName) == n:
		n.confirm(b)
		return true
	case p.Spec.NodeName != "" || !doubt:
		n.drop(uid, b, posts, (*ledger.Ledger).Cancel)
	}
	return false
}

// drop ends a binding that came to nothing, unless it was posted again after the
// API server was asked: what it said before that no longer counts.
func (n *node) drop(uid types.UID, b *binding, posts int, release func(*ledger.Ledger, types.UID, time.Time)) {
	n.update(func(l *ledger.Ledger, now time.Time) {
		if n.bindings[uid] == b && b.posts == posts {
			n.finish(uid)
			release(l, uid, now)
		}
	})
}

// confirm notes that the pod is bound. The binding stays, and keeps the address, until
// the watch shows the pod or its end: to take the pod up here might bring back one
// whose end the watch has just told.
func (n *node) confirm(b *binding) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b.since = time.Now()
}

// settleElsewhere makes sure that a pod has no binding in doubt on another
// node before it is bound to this one.
func (a *Allocator) settleElsewhere(ctx context.Context, uid types.UID, here *node) error {
	v, placed := a.placing.Load(uid)
	if !placed || v.(*node) == here {
		return nil
	}
	n := v.(*node)
	n.mu.Lock()
	b := n.bindings[uid]
	n.mu.Unlock()
	if b != nil && n.verify(ctx, uid, b) {
		return fmt.Errorf("the pod is bound to %s already", n.name())
	}
	return nil
}

// begin notes a binding, or goes on with that of an earlier bind of the pod;
// whoever calls it holds the node's lock.
func (n *node) begin(uid types.UID, key types.NamespacedName, answer chan outcome) *binding {
	b := n.bindings[uid]
	if b == nil {
		b = &binding{key: key}
		n.bindings[uid] = b
		n.a.placing.Store(uid, n)
	}
	b.answer, b.since = answer, time.Now()
	return b
}

// finish forgets a binding; whoever calls it holds the node's lock.
func (n *node) finish(uid types.UID) {
	delete(n.bindings, uid)
	n.a.placing.CompareAndDelete(uid, n)
}

const (
	verifyEvery = 2 * time.Second
	verifyAfter = 5 * time.Second // a binding that the watch has not shown by then is looked up
)

// verifyBindings looks up the bindings that the watch does not show.
func (a *Allocator) verifyBindings(ctx context.Context) {
	for _, n := range a.everyNode() {
		for uid, b := range n.overdue(time.Now().Add(-verifyAfter)) {
			n.verify(ctx, uid, b)
		}
	}
}

// overdue lists the bindings that were posted before the given time and that
// the watch has not shown since.
func (n *node) overdue(before time.Time) map[types.UID]*binding {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := map[types.UID]*binding{}
	for uid, b := range n.bindings {
		if b.posts > 0 && b.open == 0 && b.since.Before(before) {
			out[uid] = b
		}
	}
	return out
}
