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

// Observer watches all pods, and remembers when each was seen created, bound
// and addressed. It sees every version of a pod that the API server had.
type Observer struct {
	mu   sync.Mutex
	pods map[types.UID]Sighting
	bare []string
}

// Sighting is when a pod was first seen in a state; zero: never.
type Sighting struct {
	Name                      string
	Created, Bound, Addressed time.Time
}

// Observe starts an observer, which ends with ctx.
func (b *Bed) Observe(ctx context.Context) *Observer {
	o := &Observer{pods: map[types.UID]Sighting{}}
	lw := cache.NewListWatchFromClient(b.Client.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, fields.Everything())
	_, c := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: lw,
		ObjectType:    &corev1.Pod{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(p any) { o.see(p) },
			UpdateFunc: func(_, p any) { o.see(p) },
		},
	})
	go c.RunWithContext(ctx)
	cache.WaitForCacheSync(ctx.Done(), c.HasSynced)
	return o
}

func (o *Observer) see(obj any) {
	p := obj.(*corev1.Pod)
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	s, known := o.pods[p.UID]
	if !known {
		s = Sighting{Name: p.Namespace + "/" + p.Name, Created: now}
	}
	addressed := p.Annotations[vpc.Annotation] != ""
	if p.Spec.NodeName != "" && s.Bound.IsZero() {
		s.Bound = now
		if !addressed && !p.Spec.HostNetwork {
			o.bare = append(o.bare, s.Name)
		}
	}
	if addressed && s.Addressed.IsZero() {
		s.Addressed = now
	}
	o.pods[p.UID] = s
}

// Bare lists the pods that were bound without an address, even for a moment.
func (o *Observer) Bare() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.bare...)
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
