package pods

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// store is the reflector's: it keeps nothing itself and passes on what it is told.
type store struct{ watch *Watch }

// Transformer strips pods of all that is not used before they are stored.
func (s *store) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		if p, ok := obj.(*corev1.Pod); ok {
			return Strip(p), nil
		}
		return obj, nil
	}
}

// Add notes a pod that appeared.
func (s *store) Add(obj any) error { return s.Update(obj) }

// Update notes what has become of a pod.
func (s *store) Update(obj any) error {
	if p, ok := obj.(*corev1.Pod); ok {
		s.watch.observe(p)
	}
	return nil
}

// Delete notes the end of a pod.
func (s *store) Delete(obj any) error {
	if p, ok := obj.(*corev1.Pod); ok {
		s.watch.end(p.UID, 0)
	}
	return nil
}

// Replace notes all pods at once, and the end of those that are not among them.
func (s *store) Replace(objs []any, _ string) error {
	live := make(map[types.UID]bool, len(objs))
	for _, obj := range objs {
		if p, ok := obj.(*corev1.Pod); ok {
			live[p.UID] = true
			s.watch.observe(p)
		}
	}
	for _, uid := range s.watch.o.Index.Known() {
		if !live[uid] {
			s.watch.end(uid, 0)
		}
	}
	if !s.watch.read {
		s.watch.read = true
		s.watch.o.Listener.PodsRead()
	}
	return nil
}

// Resync is not needed: nothing is kept that could age.
func (s *store) Resync() error { return nil }
