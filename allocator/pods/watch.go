package pods

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
)

// Router finds whose ledger the pods of a Node are in.
type Router interface {
	// Home is nil for a Node that nobody knows.
	Home(node string) Home
}

// Listener is told what the watch of pods has shown beyond where they are.
type Listener interface {
	// PodsRead: the pods of all nodes have been read for the first time.
	PodsRead()
	// Bound: a pod is on a node, and needs no other any more.
	Bound(pod types.UID)
	// Shared: two live pods have one address.
	Shared(older, younger Pod)
}

// Options are what a Watch works with.
type Options struct {
	Index    *Index
	Router   Router
	Listener Listener
	Bound    cache.ListerWatcher // of the bound pods
	OnNode   func(ctx context.Context, node string) ([]corev1.Pod, error)
	Resource corev1.ResourceName // that Slotwise advertises
}

// Watch follows the bound pods of the cluster. Those on the host's network need no
// address, but their kubelets count them, too.
type Watch struct {
	o    Options
	read bool // of the reflector's goroutine
}

// NewWatch makes a Watch.
func NewWatch(o Options) *Watch { return &Watch{o: o} }

// watchBackoff is the pause before the API server is asked for pods again. Addresses
// wait for what it tells, and the reflector does not end in mid-pause, so it grows far
// less than client-go's own.
var watchBackoff = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 3, Cap: 2 * time.Second}

// Run follows the pods until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	r := cache.NewReflectorWithOptions(w.o.Bound, &corev1.Pod{}, &store{w}, cache.ReflectorOptions{
		Name:    "windows-pods",
		Backoff: &watchBackoff,
	})
	r.RunWithContext(ctx)
}

// ReadNode reads the pods of a Node that appeared after the watch had begun; of the
// others the watch's own first list tells. A pod may end between the list and its
// reading, with the watch quicker than both, so a second list finds those that the
// first, or that of an earlier attempt, has brought back.
func (w *Watch) ReadNode(ctx context.Context, home Home, node string) error {
	first, err := w.o.OnNode(ctx, node)
	if err != nil {
		return err
	}
	for i := range first {
		w.observe(&first[i])
	}
	shown := w.o.Index.Group(home).On(node)
	second, err := w.o.OnNode(ctx, node)
	if err != nil {
		return err
	}
	live := map[types.UID]bool{}
	for i := range second {
		live[second[i].UID] = !Finished(&second[i])
	}
	for _, uid := range shown {
		if !live[uid] {
			w.end(uid, 0)
		}
	}
	return nil
}

// observe takes in what the API server says of a bound pod.
func (w *Watch) observe(p *corev1.Pod) {
	if Finished(p) {
		w.end(p.UID, lingers(p))
		return
	}
	home, seen := w.o.Router.Home(p.Spec.NodeName), New(p, w.o.Resource)
	if home == nil && !seen.Address.IsValid() {
		return
	}
	var was Home
	var sharing types.UID
	if home != nil {
		w.o.Listener.Bound(p.UID)
		was, sharing = home.Observe(seen)
	} else {
		was, sharing = w.o.Index.Place(seen, time.Now())
	}
	if was != nil && was != home {
		was.Ended(p.UID, 0) // it has been read anew, or was taken for another
	}
	if sharing == "" || home == nil {
		return
	}
	if older, younger, ok := w.o.Index.ByAge(p.UID, sharing); ok {
		w.o.Listener.Shared(older, younger)
	}
}

// end takes in that a pod holds its address no longer, though something of it may run
// for that much longer.
func (w *Watch) end(pod types.UID, longer time.Duration) {
	for _, home := range w.o.Index.End(pod, time.Now()) {
		home.Ended(pod, longer)
	}
}
