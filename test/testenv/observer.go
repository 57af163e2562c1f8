package testenv

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
	"slotwise.dev/slotwise/test/revision"
)

// Observer watches all pods, and remembers what became of each. It sees every
// version of a pod that the API server had, in the API server's order.
//
// On a busy machine, or when its watch was cut, it may see them many seconds late.
// So it judges by the revisions that the API server gave them, and by when those
// were written (see package revision); never by when it came to read of them.
//
// It is the store of a reflector, which alone calls its exported methods on
// objects.
type Observer struct {
	clock revision.Clock
	ready chan struct{} // closed once all pods have been read

	mu   sync.Mutex
	pods map[types.UID]Sighting
}

// Sighting is when a pod was first seen in a state; zero: never.
type Sighting struct {
	Name                      string // namespace/name
	Created, Bound, Addressed time.Time
	// Address is the first that the pod had, and Changed another that it had
	// later, which must never be.
	Address, Changed string
	HostNetwork      bool
	// Rejected is what the kubelet said that did not admit the pod.
	Rejected string

	addressed int64 // the revision in which it got its address; 0: none
	alive     int64 // the last in which it is known to have lived
	ended     bool
	// whole says that it was bound by the write that gave it its address, as the
	// extender does and nobody else.
	whole bool
}

// Bare says that the pod was bound without an address, even for a moment.
func (s Sighting) Bare() bool {
	return !s.Bound.IsZero() && !s.Addressed.Equal(s.Bound) && !s.HostNetwork
}

// Observe starts an observer, which ends with ctx.
func (e *Env) Observe(ctx context.Context) *Observer {
	o := &Observer{pods: map[types.UID]Sighting{}, ready: make(chan struct{})}
	go o.clock.Run(ctx, e.Client)
	lw := cache.NewListWatchFromClient(e.Client.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, fields.Everything())
	r := cache.NewReflectorWithOptions(lw, &corev1.Pod{}, o, cache.ReflectorOptions{Name: "observer"})
	go r.RunWithContext(ctx)
	select {
	case <-o.ready:
	case <-ctx.Done():
	}
	return o
}

// Add notes a pod that appeared.
func (o *Observer) Add(obj any) error { return o.Update(obj) }

// Update notes what has become of a pod.
func (o *Observer) Update(obj any) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := obj.(*corev1.Pod)
	unbound := o.pods[p.UID].Bound.IsZero()
	o.see(p)
	if s := o.pods[p.UID]; unbound && s.Address != "" && !s.Bound.IsZero() {
		s.whole = true
		o.pods[p.UID] = s
	}
	return nil
}

// Delete notes the end of a pod, which has the revision of its end.
func (o *Observer) Delete(obj any) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := obj.(*corev1.Pod)
	o.end(p.UID, revision.Of(p.ResourceVersion)-1)
	return nil
}

// Replace notes all pods at once, the first time or after the watch was cut. Those
// that are not among them have ended, at any time since they were seen last.
func (o *Observer) Replace(objs []any, _ string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	listed := map[types.UID]bool{}
	for _, obj := range objs {
		p := obj.(*corev1.Pod)
		listed[p.UID] = true
		o.see(p)
	}
	for uid, s := range o.pods {
		if !listed[uid] {
			o.end(uid, s.alive)
		}
	}
	select {
	case <-o.ready:
	default:
		close(o.ready)
	}
	return nil
}

// Resync is not needed: nothing is kept that could age.
func (o *Observer) Resync() error { return nil }

// see takes up a version of a pod. o is locked.
func (o *Observer) see(p *corev1.Pod) {
	s, now, at := o.pods[p.UID], time.Now(), revision.Of(p.ResourceVersion)
	if s.Created.IsZero() {
		s.Name, s.Created, s.HostNetwork = p.Namespace+"/"+p.Name, now, p.Spec.HostNetwork
	}
	if p.Spec.NodeName != "" && s.Bound.IsZero() {
		s.Bound = now
	}
	switch address := p.Annotations[vpc.Annotation]; {
	case address == s.Address:
	case s.Address == "":
		s.Address, s.Addressed, s.addressed = address, now, at
	default:
		s.Changed = address
	}
	if !over(p) && !s.ended {
		s.alive = at
	}
	if rejected(p) {
		s.Rejected = p.Status.Reason + ": " + p.Status.Message
	}
	o.pods[p.UID] = s
	if over(p) {
		o.end(p.UID, at-1)
	}
}

// end takes up the end of a pod that lived in a revision. o is locked.
func (o *Observer) end(uid types.UID, alive int64) {
	if s := o.pods[uid]; !s.ended {
		s.alive, s.ended = alive, true
		o.pods[uid] = s
	}
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
