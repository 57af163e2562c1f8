package witness

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"slotwise.dev/slotwise/test/revision"
)

// again is how soon a watch that was cut is tried again.
const again = 200 * time.Millisecond

// Watch makes a witness that watches the pods of a namespace of a real cluster, or of all
// of them, until ctx ends. scheduler is the name of the one that binds through the
// extender.
func Watch(ctx context.Context, kube kubernetes.Interface, ec2 EC2, namespace, scheduler string) *Witness {
	clock := &revision.Clock{}
	w := New(clock, ec2, scheduler)
	go clock.Run(ctx, kube)
	w.Follow(ctx, kube, namespace)
	return w
}

// Follow feeds a witness with the pods of a namespace of a real cluster, or of all of
// them, until ctx ends. Several witnesses may share a clock, which has to run.
func (w *Witness) Follow(ctx context.Context, kube kubernetes.Interface, namespace string) {
	follow(ctx, kube, "events", namespace, fields.OneTermEqualSelector("reason", reasonPreempted), &corev1.Event{}, w.preempted)
	follow(ctx, kube, "events", namespace, fields.OneTermEqualSelector("reason", reasonAddressLost), &corev1.Event{}, w.addressLost)
	follow(ctx, kube, "pods", namespace, fields.Everything(), &corev1.Pod{}, w.pods)
}

// follow keeps a store up to date until ctx ends.
func follow(ctx context.Context, kube kubernetes.Interface, what, namespace string, which fields.Selector, kind runtime.Object, store cache.ReflectorStore) {
	lw := cache.NewListWatchFromClient(kube.CoreV1().RESTClient(), what, namespace, which)
	r := cache.NewReflectorWithOptions(lw, kind, store, cache.ReflectorOptions{
		Name:    "witness of " + what + " " + which.String(),
		Backoff: &wait.Backoff{Duration: again, Factor: 1, Steps: 1},
	})
	go r.RunWithContext(ctx)
}
