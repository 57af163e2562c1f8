// Package binding binds pods with their address, in one write: the API server copies the
// annotations of a Binding onto the pod. Where the answer does not say what became of a
// write, it is looked up, not repeated blindly (I7).
//
// How far a bind is stands in the index of pods (pods.Attempt); this package moves it on:
//
//	Obtain -> posted -> bound: the watch shows the pod, which ends the attempt
//	                 -> refused: looked up at once
//	                 -> in doubt: looked up every few seconds until it is bound, is bound
//	                    elsewhere, is gone, or a late write is out of the question
package binding

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/pods"
)

// Every is how often attempts that the watch does not show are looked up.
const Every = 2 * time.Second

// overdueAfter is how long after its last progress an attempt is looked up.
const overdueAfter = 5 * time.Second

// errNotSent is that a request was not sent.
var errNotSent = errors.New("not bound")

// Node is where a pod is bound.
type Node interface {
	// Home is what the index of pods knows it by.
	Home() pods.Home
	// Name is the Node that offers the capacity.
	Name() string
	// Obtain takes an address, or waits for one. There is no attempt for a pod that is
	// bound there already. The address is invalid where another allocator gives it.
	Obtain(ctx context.Context, pod types.NamespacedName, uid types.UID) (*pods.Attempt, netip.Prefix, error)
	// TakeBack takes back the promise that free addresses are free.
	TakeBack(ctx context.Context) error
	// Drop ends an attempt that came to nothing, unless it was posted again since it had
	// so many posts; used: the pod may have used the address.
	Drop(a *pods.Attempt, posts int, used bool)
}

// API is what is used of the API server.
type API interface {
	Get(ctx context.Context, pod types.NamespacedName) (*corev1.Pod, error)
	Bind(ctx context.Context, b kube.Binding) error
}

// Options are what a Binder works with.
type Options struct {
	API    API
	Index  *pods.Index
	Router pods.Router
	// At finds the node that the index of pods knows as a home.
	At func(home pods.Home) Node
	// Waited is told how long a bind waited until it had an address.
	Waited func(time.Duration)
	// Allocated is told of an address that a pod was bound with.
	Allocated func(pod types.NamespacedName, uid types.UID, address netip.Prefix)
}

// Binder binds pods. It is safe for concurrent use.
type Binder struct{ o Options }

// New makes a Binder.
func New(o Options) *Binder { return &Binder{o} }

// Bind takes an address on a node and binds the pod with it. Where the address must come
// from EC2 first, it waits until ctx ends. A pod that is not bound in the end keeps no
// address. What is in doubt on another node is settled first.
func (b *Binder) Bind(ctx context.Context, pod types.NamespacedName, uid types.UID, to Node) error {
	if elsewhere, bound := b.settleElsewhere(ctx, uid, to); bound {
		return fmt.Errorf("the pod is bound to %s already", elsewhere.Name())
	}
	began, name := time.Now(), to.Name()
	attempt, address, err := to.Obtain(ctx, pod, uid)
	if err != nil || attempt == nil {
		return err
	}
	b.o.Waited(time.Since(began))
	err = b.post(ctx, to, attempt, kube.Binding{Pod: pod, UID: uid, Node: name, Address: address})
	attempt.Posted(err != nil && !refused(err), time.Now())
	if err == nil {
		if address.IsValid() {
			b.o.Allocated(pod, uid, address)
		}
		return nil
	}
	if b.verify(ctx, to, attempt) {
		return nil
	}
	return err
}

// settleElsewhere makes sure that a pod has no attempt in doubt on another node before
// it is bound to this one.
func (b *Binder) settleElsewhere(ctx context.Context, uid types.UID, here Node) (elsewhere Node, bound bool) {
	a := b.o.Index.Latest(uid)
	if a == nil || a.Home() == here.Home() {
		return nil, false
	}
	elsewhere = b.o.At(a.Home())
	return elsewhere, b.verify(ctx, elsewhere, a)
}

// post makes the one request that binds the pod and gives it its address.
func (b *Binder) post(ctx context.Context, n Node, a *pods.Attempt, x kube.Binding) error {
	if err := n.TakeBack(ctx); err != nil {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	if !a.Current() {
		return fmt.Errorf("%w: %w", errNotSent, pods.ErrOvertaken)
	}
	return b.o.API.Bind(ctx, x)
}

// refused says that the API server has certainly not done what it was asked.
func refused(err error) bool { return errors.Is(err, errNotSent) || kube.Refused(err) }

// VerifyOverdue looks up the attempts at a node that were posted and that the watch has
// not shown since.
func (b *Binder) VerifyOverdue(ctx context.Context, n Node) {
	for _, a := range b.o.Index.Group(n.Home()).Overdue(time.Now().Add(-overdueAfter)) {
		b.verify(ctx, n, a)
	}
}

// verify asks the API server what became of a pod that was to be bound, and brings the
// node's ledger to it.
func (b *Binder) verify(ctx context.Context, n Node, a *pods.Attempt) (bound bool) {
	posts, inDoubt := a.Posts(time.Now())
	p, err := b.o.API.Get(ctx, a.Pod)
	switch {
	case apierrors.IsNotFound(err) || err == nil && (p.UID != a.UID || pods.Finished(p)):
		n.Drop(a, posts, true) // whether the pod ever ran with the address is unknown
	case err != nil:
		return false
	case p.Spec.NodeName == n.Name() || b.o.Router.Home(p.Spec.NodeName) == n.Home():
		// The attempt stays, and keeps the address, until the watch shows the pod or its
		// end: to take the pod up here might bring back one whose end the watch has told.
		a.Progress(time.Now())
		return true
	case p.Spec.NodeName != "" || !inDoubt:
		n.Drop(a, posts, false)
	}
	return false
}
