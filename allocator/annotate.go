package allocator

import (
	"context"
	"encoding/json"
	"net/netip"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"slotwise.dev/slotwise/allocator/vpc"
)

// patchers is how many writes of one kind to the API server are under way at
// the most.
const patchers = 16

// annotation is an address on its way to a pod that somebody else has bound.
type annotation struct {
	pod     types.NamespacedName
	uid     types.UID
	node    string
	address netip.Prefix
}

// annotator writes addresses on pods that were bound without one.
type annotator struct {
	workqueue.TypedRateLimitingInterface[annotation]
	a *Allocator
}

func newAnnotator(a *Allocator) *annotator {
	return &annotator{queue[annotation]("annotations"), a}
}

func queue[T comparable](name string) workqueue.TypedRateLimitingInterface[T] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[T](firstBackoff, lastBackoff),
		workqueue.TypedRateLimitingQueueConfig[T]{Name: name})
}

func (w *annotator) run(ctx context.Context) {
	drain(ctx, w.TypedRateLimitingInterface, w.annotate)
}

// drain works a queue off with several hands until ctx ends. What fails comes
// back later.
func drain[T comparable](ctx context.Context, q workqueue.TypedRateLimitingInterface[T], do func(context.Context, T) error) {
	context.AfterFunc(ctx, q.ShutDown)
	var hands sync.WaitGroup
	for range patchers {
		hands.Go(func() {
			for {
				item, stopped := q.Get()
				if stopped {
					return
				}
				if err := do(ctx, item); err != nil {
					q.AddRateLimited(item)
				} else {
					q.Forget(item)
				}
				q.Done(item)
			}
		})
	}
	hands.Wait()
}

// annotate writes a pod's address. The UID in the patch makes the API server
// refuse it for another pod of the same name.
func (w *annotator) annotate(ctx context.Context, x annotation) error {
	n := w.a.node(x.node)
	if n == nil || !n.owes(x) {
		return nil // whoever took it back has seen to the pod
	}
	if err := w.a.recorder.open(ctx, n); err != nil {
		return err
	}
	if !w.a.held() {
		return errNotLeading // it is tried again: the lease may yet be renewed
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":         x.uid,
		"annotations": map[string]string{vpc.Annotation: x.address.String()},
	}})
	if err != nil {
		return err
	}
	_, err = w.a.kube.CoreV1().Pods(x.pod.Namespace).Patch(ctx, x.pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	switch {
	case err == nil:
		w.a.events.allocated(x.pod, x.uid, x.address)
	case w.a.ended(ctx, err, x.pod, x.uid):
		return nil // the watch says so too
	default:
		w.a.log.Info("cannot annotate a pod", "pod", x.pod, "address", x.address.String(), "error", err.Error())
		w.a.events.failed(x.pod, x.uid, err)
	}
	return err
}

// owes says that the pod is still to get the address: Slotwise has not been turned
// off, nor the pod given another one, while the annotation was on its way.
func (n *node) owes(x annotation) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	held, _ := n.ledger.Holder(x.uid)
	return n.ready && n.a.running() && held == x.address.Addr()
}

// ended says that the API server has refused something about a pod because the
// pod has ended. A conflict may also mean that another write was quicker.
func (a *Allocator) ended(ctx context.Context, refusal error, pod types.NamespacedName, uid types.UID) bool {
	if !apierrors.IsConflict(refusal) {
		return apierrors.IsNotFound(refusal)
	}
	p, err := a.kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	return apierrors.IsNotFound(err) || err == nil && p.UID != uid
}
