package scheduler

import (
	"context"
	"fmt"
	"runtime/debug"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/test/sim/apiserver"
)

// BenchmarkPod is what one pod costs from its creation to its end, on nodes of which each
// has 25 pods: scheduled through the real handler, over HTTP in memory.
func BenchmarkPod(b *testing.B) {
	debug.SetGCPercent(400)
	for _, nodes := range []int{1, 4, 12} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) { benchmarkPods(b, nodes) })
	}
}

func benchmarkPods(b *testing.B, nodes int) {
	w := newWorld(b.Context(), b)
	w.link.Set(apiserver.Conditions{}) // outside of a bubble time is real
	a := &fakeAllocator{rooms: map[string]capacity.Room{}}
	a.bind = func(ctx context.Context, pod types.NamespacedName, uid types.UID, node string) error {
		return w.client.Bind(ctx, apiserver.Assignment{Pod: pod, UID: uid, Node: node, Annotations: map[string]string{address: "10.0.0.1/32"}})
	}
	for i := range nodes {
		name := fmt.Sprint("node-", i)
		w.node(name, 100)
		a.rooms[name] = capacity.Room{Free: 5, InUse: 20}
		for j := range 25 {
			w.pod(fmt.Sprint(name, "-", j), on(name))
		}
	}
	bound := make(chan struct{})
	w.server.Observe(func(e apiserver.Event) {
		if p, isPod := e.New.(*corev1.Pod); isPod && e.Type == watch.Modified && p.Spec.NodeName != "" && p.DeletionTimestamp == nil {
			bound <- struct{}{}
		}
	})
	h := NewHTTPExtender(HTTPOptions{Dialer: toOne{&Replica{Handler: a.handler(b)}}})
	go w.scheduler(Options{Extender: h}).Run(w.ctx)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		name := fmt.Sprint("pod-", n)
		w.pod(name)
		<-bound
		if err := w.server.Pods().Delete(key(name), apiserver.Deletion{Grace: apiserver.Force()}); err != nil {
			b.Fatal(err)
		}
	}
	if len(w.failed) > 0 {
		b.Fatalf("%d pods have failed: %v", len(w.failed), w.messages)
	}
}
