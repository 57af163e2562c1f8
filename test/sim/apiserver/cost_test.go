package apiserver

import (
	"context"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/vpc"
)

// spent is the time that this process has had of all cores.
func spent(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestCost tells what things cost in time of a core: go test -run TestCost -v.
func TestCost(t *testing.T) {
	const n = 2000
	measure := func(what string, times int, prepare func(*testing.T, *Server) func(i int)) {
		synctest.Test(t, func(t *testing.T) {
			s := New()
			t.Cleanup(s.Close)
			do := prepare(t, s)
			start := spent(t)
			for i := range times {
				do(i)
			}
			t.Logf("%6.1f µs %s", float64((spent(t)-start).Nanoseconds())/1e3/float64(times), what)
		})
	}
	measure("a bind", n, func(t *testing.T, s *Server) func(int) {
		c := dial(s, Healthy())
		for i := range n {
			made(t, s.Pods(), newPod(strconv.Itoa(i)))
		}
		return func(i int) {
			_ = c.Pods().Bind(t.Context(), kube.Binding{Pod: keyOf(newPod(strconv.Itoa(i))), Node: "node", Address: address})
		}
	})
	measure("a bind that ten watches follow", n, func(t *testing.T, s *Server) func(int) {
		c := dial(s, Healthy())
		for i := range n {
			made(t, s.Pods(), newPod(strconv.Itoa(i)))
		}
		for range 10 {
			s.Pods().Via(dial(s, Healthy())).Informer(t.Context(), func(p *corev1.Pod) bool { return p.Spec.NodeName != "" }, nil)
		}
		time.Sleep(time.Second)
		return func(i int) {
			_ = c.Pods().Bind(t.Context(), kube.Binding{Pod: keyOf(newPod(strconv.Itoa(i))), Node: "node", Address: address})
		}
	})
	measure("a get", n, func(t *testing.T, s *Server) func(int) {
		bound(t, s)
		c := dial(s, Healthy())
		return func(int) { _, _ = c.Pods().Get(t.Context(), key) }
	})
	measure("an advert", n, func(t *testing.T, s *Server) func(int) {
		made(t, s.Nodes(), newNode())
		c := dial(s, Healthy())
		return func(i int) {
			_ = c.Nodes().Advertise(t.Context(), "node", kube.Advert{Resource: vpc.Resource, Total: i})
		}
	})
	measure("a list of 100 pods on a node", n, func(t *testing.T, s *Server) func(int) {
		c := dial(s, Healthy())
		for i := range 100 {
			p := made(t, s.Pods(), newPod(strconv.Itoa(i)))
			_ = c.Bind(t.Context(), Assignment{Pod: keyOf(p), Node: "node"})
		}
		return func(int) { _, _ = c.Pods().OnNode(t.Context(), "node") }
	})
	measure("an hour of three replicas that elect a leader every 2 s", 1, func(t *testing.T, s *Server) func(int) {
		ctx, cancel := context.WithCancel(t.Context())
		var replicas sync.WaitGroup
		for _, id := range []string{"a", "b", "c"} {
			replicas.Go(func() { elect(ctx, dial(s, Healthy()), id, func(string) {}) })
		}
		t.Cleanup(func() { cancel(); replicas.Wait() })
		time.Sleep(time.Minute)
		return func(int) { time.Sleep(time.Hour) }
	})
}
