package main

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/witness"
)

// stopwatch takes the times of all pods from the events of one watch. It judges nothing:
// it feeds the witness with the Windows pods, and that does. A watch of the witness's own
// would be load that is none of Slotwise's.
//
// It is the store of a reflector.
type stopwatch struct {
	witness *witness.Witness
	ready   chan struct{} // closed once all pods have been read

	mu   sync.Mutex
	pods map[types.UID]times
}

// times are when a pod was first seen in a state; zero: never.
type times struct {
	namespace                 string
	created, bound, addressed time.Time
}

// startStopwatch starts one, which ends with ctx, and returns once it runs.
func startStopwatch(ctx context.Context, kube kubernetes.Interface, w *witness.Witness) *stopwatch {
	s := &stopwatch{witness: w, pods: map[types.UID]times{}, ready: make(chan struct{})}
	lw := cache.NewListWatchFromClient(kube.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, fields.Everything())
	r := cache.NewReflectorWithOptions(lw, &corev1.Pod{}, s, cache.ReflectorOptions{Name: "stopwatch"})
	go r.RunWithContext(ctx)
	select {
	case <-s.ready:
	case <-ctx.Done():
	}
	return s
}

// Add is that of cache.ReflectorStore.
func (s *stopwatch) Add(obj any) error { return s.Update(obj) }

// Update is that of cache.ReflectorStore.
func (s *stopwatch) Update(obj any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeLocked(obj.(*corev1.Pod))
	return nil
}

// Delete is that of cache.ReflectorStore. Times that have been taken stay.
func (s *stopwatch) Delete(obj any) error {
	if p := obj.(*corev1.Pod); isWindows(p) {
		s.witness.Gone(p)
	}
	return nil
}

// Replace is that of cache.ReflectorStore.
func (s *stopwatch) Replace(objs []any, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, obj := range objs {
		s.seeLocked(obj.(*corev1.Pod))
	}
	select {
	case <-s.ready:
	default:
		close(s.ready)
	}
	return nil
}

// Resync is that of cache.ReflectorStore.
func (s *stopwatch) Resync() error { return nil }

// seeLocked takes the times of a version of a pod. Caller holds s.mu.
func (s *stopwatch) seeLocked(p *corev1.Pod) {
	t, now := s.pods[p.UID], time.Now()
	if t.created.IsZero() {
		t.namespace, t.created = p.Namespace, now
	}
	if t.bound.IsZero() && p.Spec.NodeName != "" {
		t.bound = now
	}
	if t.addressed.IsZero() && p.Annotations[vpc.Annotation] != "" {
		t.addressed = now
	}
	s.pods[p.UID] = t
	if isWindows(p) {
		s.witness.Pod(p)
	}
}

func isWindows(p *corev1.Pod) bool {
	return p.Spec.NodeSelector[corev1.LabelOSStable] == string(corev1.Windows)
}

// bound are the times of the pods of a namespace that have been seen bound.
func (s *stopwatch) bound(namespace string) (all []times) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.pods {
		if t.namespace == namespace && !t.bound.IsZero() {
			all = append(all, t)
		}
	}
	return all
}
