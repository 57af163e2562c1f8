package bed

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"slotwise.dev/slotwise/allocator/vpc"
)

// Observer watches all pods, and remembers what became of each. It sees every
// version of a pod that the API server had, in the API server's order.
type Observer struct {
	mu   sync.Mutex
	pods map[types.UID]Sighting
}

// Sighting is when a pod was first seen in a state; zero: never.
type Sighting struct {
	Name                             string // namespace/name
	Created, Bound, Addressed, Ended time.Time
	// Address is the first that the pod had, and Changed another that it had
	// later, which must never be.
	Address, Changed string
	HostNetwork      bool
}

// Bare says that the pod was bound without an address, even for a moment.
func (s Sighting) Bare() bool {
	return !s.Bound.IsZero() && !s.Addressed.Equal(s.Bound) && !s.HostNetwork
}

// Observe starts an observer, which ends with ctx.
func (b *Bed) Observe(ctx context.Context) *Observer {
	o := &Observer{pods: map[types.UID]Sighting{}}
	lw := cache.NewListWatchFromClient(b.Client.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, fields.Everything())
	_, c := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: lw,
		ObjectType:    &corev1.Pod{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(p any) { o.see(p.(*corev1.Pod)) },
			UpdateFunc: func(_, p any) { o.see(p.(*corev1.Pod)) },
			DeleteFunc: o.gone,
		},
	})
	go c.RunWithContext(ctx)
	cache.WaitForCacheSync(ctx.Done(), c.HasSynced)
	return o
}

func (o *Observer) see(p *corev1.Pod) {
	now := time.Now()
	o.change(p.UID, func(s *Sighting) {
		if s.Created.IsZero() {
			s.Name, s.Created, s.HostNetwork = p.Namespace+"/"+p.Name, now, p.Spec.HostNetwork
		}
		if p.Spec.NodeName != "" && s.Bound.IsZero() {
			s.Bound = now
		}
		switch address := p.Annotations[vpc.Annotation]; {
		case address == s.Address:
		case s.Address == "":
			s.Address, s.Addressed = address, now
		default:
			s.Changed = address
		}
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			s.end(now)
		}
	})
}

func (o *Observer) gone(obj any) {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = unknown.Obj
	}
	if p, ok := obj.(*corev1.Pod); ok {
		o.change(p.UID, func(s *Sighting) { s.end(time.Now()) })
	}
}

func (s *Sighting) end(now time.Time) {
	if s.Ended.IsZero() {
		s.Ended = now
	}
}

func (o *Observer) change(uid types.UID, f func(*Sighting)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.pods[uid]
	f(&s)
	o.pods[uid] = s
}

// Bare lists the pods that were bound without an address, even for a moment.
func (o *Observer) Bare() []string {
	var names []string
	for _, s := range o.Pods() {
		if s.Bare() {
			names = append(names, s.Name)
		}
	}
	return names
}

// Pods are the sightings of all pods so far.
func (o *Observer) Pods() []Sighting {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]Sighting, 0, len(o.pods))
	for _, s := range o.pods {
		all = append(all, s)
	}
	return all
}
