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
	errNoRoom      = errors.New("the node's subnet has no room for another address")
)

// binding is a pod that is being bound through the extender. It lasts until
// the watch shows the pod bound, or it is certain that it never will be.
type binding struct {
	key     types.NamespacedName
	answer  chan outcome // takes one
	address netip.Prefix // as it was posted; invalid before
	posting bool         // a request to the API server is under way
	since   time.Time    // of the last post
	lost    time.Time    // when the answer to a post was lost; zero: never
}

// lostTimeout is how long a request whose answer was lost may still be carried
// out. The API server gives up after 60 s.
const lostTimeout = 70 * time.Second

// inDoubt says that a post may yet be carried out.
func (b *binding) inDoubt() bool { return time.Since(b.lost) < lostTimeout }

type outcome struct {
	grant ledger.Grant
	err   error
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
	if err := a.settleElsewhere(ctx, uid, n); err != nil {
		return fmt.Errorf("bind %s to %s: %w", key, nodeName, err)
	}
	began := time.Now()
	address, err := n.obtain(ctx, key, uid)
	if err == nil {
		a.metrics.waited(time.Since(began))
		err = n.post(ctx, uid, address)
	}
	if err != nil {
		return fmt.Errorf("bind %s to %s: %w", key, nodeName, err)
	}
	return nil
}

// obtain takes an address for a pod, or waits for the one that EC2 brings.
func (n *node) obtain(ctx context.Context, key types.NamespacedName, uid types.UID) (netip.Prefix, error) {
	b := &binding{key: key, answer: make(chan outcome, 1), since: time.Now()}
	var refusal error
	n.update(func(l *ledger.Ledger, now time.Time) {
		if refusal = n.refusal(); refusal != nil {
			return
		}
		if g, ok := n.take(uid, now); ok {
			n.given = now
			b.answer <- outcome{grant: g}
		} else {
			l.Wait(uid)
			if refusal = n.unfit(); refusal != nil {
				l.Cancel(uid, now)
				return
			}
		}
		n.begin(uid, b)
	})
	if refusal != nil {
		return netip.Prefix{}, refusal
	}
	select {
	case o := <-b.answer:
		return n.prepare(b, o)
	case <-ctx.Done():
		n.abandon(uid, b)
		return netip.Prefix{}, fmt.Errorf("no answer from EC2 in time: %w", ctx.Err())
	}
}

// refusal says why nothing can be taken on this node at all.
func (n *node) refusal() error {
	switch {
	case !n.a.running():
		return errOff
	case !n.a.leading():
		return errNotLeading
	case !n.a.active() || !n.ready:
		return errNotReady
	}
	return nil
}

// unfit says why one of the pods that wait cannot be served, if so.
func (n *node) unfit() error {
	n.settleClaim()
	c := n.ledger.Counts()
	available := n.budget.available(c.Mode)
	switch {
	case c.Remaining(n.own.count+available) >= 0:
		return nil
	case c.Open > n.own.count && available == 0:
		return errNoRoom
	}
	return errFull
}

// prepare marks the binding as about to be posted.
func (n *node) prepare(b *binding, o outcome) (netip.Prefix, error) {
	if o.err != nil {
		return netip.Prefix{}, o.err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	b.address, b.posting, b.since = n.format(o.grant), true, time.Now()
	return b.address, nil
}

// abandon takes back what a bind was promised, unless another bind of the same
// pod has taken over, or an earlier post of it may yet be carried out.
func (n *node) abandon(uid types.UID, b *binding) {
	n.update(func(l *ledger.Ledger, now time.Time) {
		if n.bindings[uid] == b && !b.inDoubt() {
			n.finish(uid)
			l.Cancel(uid, now)
		}
	})
}

// lastWaitingBind finds the bind that has waited for the shortest time.
func (n *node) lastWaitingBind() (last types.UID, b *binding) {
	for uid, x := range n.bindings {
		if a, known := n.ledger.Holder(uid); !known || a.IsValid() {
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
func (n *node) post(ctx context.Context, uid types.UID, address netip.Prefix) error {
	n.mu.Lock()
	b := n.bindings[uid]
	n.mu.Unlock()
	if b == nil {
		return errors.New("the pod has ended, or is bound already")
	}
	err := n.a.recorder.open(ctx, n)
	if err == nil && !n.a.held() {
		err = errNotLeading
	}
	if err != nil {
		n.abandon(uid, b)
		return err
	}
	err = n.a.kube.CoreV1().Pods(b.key.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: b.key.Namespace, Name: b.key.Name, UID: uid,
			Annotations: map[string]string{vpc.Annotation: address.String()},
		},
		Target: corev1.ObjectReference{Kind: "Node", Name: n.name},
	}, metav1.CreateOptions{})
	n.mu.Lock()
	b.posting, b.since = false, time.Now()
	if err != nil && !refuses(err) {
		b.lost = b.since
	}
	n.mu.Unlock()
	if err == nil {
		n.a.events.allocated(b.key, uid, address)
		return nil
	}
	if bound := n.verify(ctx, uid, b); bound {
		return nil
	}
	return err
}

// refuses says that the API server has certainly not done what it was asked.
func refuses(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsForbidden(err) ||
		apierrors.IsInvalid(err) || apierrors.IsTooManyRequests(err) || utilnet.IsConnectionRefused(err)
}

// verify asks the API server what became of a pod that was to be bound, and
// brings the ledger to it.
func (n *node) verify(ctx context.Context, uid types.UID, b *binding) (bound bool) {
	p, err := n.a.kube.CoreV1().Pods(b.key.Namespace).Get(ctx, b.key.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) || err == nil && p.UID != uid:
		// Whether the pod ever ran with the address is unknown: it cools.
		n.drop(uid, b, (*ledger.Ledger).End)
	case err != nil:
		return false
	case p.Spec.NodeName == n.name:
		n.a.pods.observe(p)
		return true
	case p.Spec.NodeName != "" || !b.inDoubt():
		n.drop(uid, b, (*ledger.Ledger).Cancel)
	}
	return false
}

// drop ends a binding that came to nothing.
func (n *node) drop(uid types.UID, b *binding, release func(*ledger.Ledger, types.UID, time.Time)) {
	n.update(func(l *ledger.Ledger, now time.Time) {
		if n.bindings[uid] == b && !b.posting {
			n.finish(uid)
			release(l, uid, now)
		}
	})
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
		return fmt.Errorf("the pod is bound to %s already", n.name)
	}
	return nil
}

// begin notes a binding, with the doubts of an earlier one of the same pod;
// whoever calls it holds the node's lock.
func (n *node) begin(uid types.UID, b *binding) {
	if earlier := n.bindings[uid]; earlier != nil {
		b.address, b.lost = earlier.address, earlier.lost
	}
	n.bindings[uid] = b
	n.a.placing.Store(uid, n)
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
		if b.address.IsValid() && !b.posting && b.since.Before(before) {
			out[uid] = b
		}
	}
	return out
}
