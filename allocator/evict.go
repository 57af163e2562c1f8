package allocator

import (
	"context"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
)

// eviction is a pod that has to go.
type eviction struct {
	pod types.NamespacedName
	uid types.UID
}

// evictor evicts pods whose address is another pod's. It keeps to disruption
// budgets: it tries again until they allow it.
type evictor struct {
	workqueue.TypedRateLimitingInterface[eviction]
	a *Allocator
}

func newEvictor(a *Allocator) *evictor {
	return &evictor{queue[eviction]("evictions"), a}
}

func (e *evictor) run(ctx context.Context) {
	drain(ctx, e.TypedRateLimitingInterface, e.evict)
}

func (e *evictor) evict(ctx context.Context, x eviction) error {
	if !e.a.held() {
		return errNotLeading
	}
	err := e.a.kube.PolicyV1().Evictions(x.pod.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: x.pod.Namespace, Name: x.pod.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &x.uid}},
	})
	if err != nil && e.a.ended(ctx, err, x.pod, x.uid) {
		return nil
	}
	if err != nil {
		e.a.log.Info("cannot evict a pod whose address is another pod's", "pod", x.pod, "error", err.Error())
	}
	return err
}
