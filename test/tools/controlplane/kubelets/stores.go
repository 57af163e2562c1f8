package main

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// nodeStore and podStore are those of the reflectors (cache.ReflectorStore).
type (
	nodeStore struct{ *cluster }
	podStore  struct{ *cluster }
)

func (s nodeStore) Add(obj any) error { return s.Update(obj) }

func (s nodeStore) Update(obj any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeNode(obj.(*corev1.Node))
	return nil
}

// Delete does nothing: a kubelet whose Node has gone goes on with the one that it
// saw last (kubelet_nodecache.go getCachedNode).
func (s nodeStore) Delete(any) error { return nil }

func (s nodeStore) Replace(objs []any, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, obj := range objs {
		s.seeNode(obj.(*corev1.Node))
	}
	s.filled["nodes"] = true
	return nil
}

func (s nodeStore) Resync() error { return nil }

func (s podStore) Add(obj any) error { return s.Update(obj) }

func (s podStore) Update(obj any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seePod(obj.(*corev1.Pod))
	return nil
}

func (s podStore) Delete(obj any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetPod(obj.(*corev1.Pod))
	return nil
}

// Replace takes up all pods at once: at the start, or after the watch was cut.
func (s podStore) Replace(objs []any, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	listed := map[types.UID]bool{}
	for _, obj := range objs {
		listed[obj.(*corev1.Pod).UID] = true
	}
	for _, pods := range s.pods {
		for uid, p := range pods {
			if !listed[uid] {
				s.forgetPod(p)
			}
		}
	}
	for _, obj := range objs {
		s.seePod(obj.(*corev1.Pod))
	}
	s.filled["pods"] = true
	return nil
}

func (s podStore) Resync() error { return nil }
