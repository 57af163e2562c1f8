package allocator

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/extender"
)

// I9: a node's total holds what kubelets still count, whatever Slotwise gives of it.
func TestI9TotalHoldsWhatKubeletsCount(t *testing.T) {
	finish := func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }
	for name, c := range map[string]struct {
		pods  func(a *Allocator, n *node)
		total int // of 2 slots, one of them with a prefix
		free  int32
	}{
		"none": {func(*Allocator, *node) {}, 32, 16},
		"one runs": {func(a *Allocator, n *node) {
			a.pods.observe(windowsPod(n, "a", at(0)))
		}, 32, 15},
		"one has ended by itself": {func(a *Allocator, n *node) {
			p := windowsPod(n, "a", at(0))
			a.pods.observe(p)
			finish(p)
			a.pods.observe(p)
		}, 32, 15},
		"one was deleted": {func(a *Allocator, n *node) {
			a.pods.observe(windowsPod(n, "a", at(0)))
			a.pods.ended("a", 0)
		}, 32, 15},
		"one that asks for nothing is no load": {func(a *Allocator, n *node) {
			p := windowsPod(n, "a", at(0))
			p.Spec.Containers = nil
			a.pods.observe(p)
		}, 31, 15},
		"nor is it once it has ended": {func(a *Allocator, n *node) {
			p := windowsPod(n, "a", at(0))
			p.Spec.Containers = nil
			a.pods.observe(p)
			a.pods.ended("a", 0)
		}, 31, 15},
		"one that asks for three is a load of three": {func(a *Allocator, n *node) {
			p := windowsPod(n, "a", at(0))
			p.Spec.Containers = []corev1.Container{asking(1), asking(2)}
			a.pods.observe(p)
		}, 34, 15},
		"and until its sandbox is gone": {func(a *Allocator, n *node) {
			p := windowsPod(n, "a", at(0))
			p.Spec.Containers = []corev1.Container{asking(1), asking(2)}
			a.pods.observe(p)
			a.pods.ended("a", 0)
		}, 34, 15},
		"a sidecar asks": {func(a *Allocator, n *node) {
			p := windowsPod(n, "a", at(0))
			always := corev1.ContainerRestartPolicyAlways
			sidecar := asking(1)
			sidecar.RestartPolicy = &always
			p.Spec.Containers, p.Spec.InitContainers = []corev1.Container{{}}, []corev1.Container{sidecar}
			a.pods.observe(p)
		}, 32, 15},
		"one that ended before it had an address": {func(a *Allocator, n *node) {
			n.ready = false // nothing is given
			a.pods.observe(windowsPod(n, "a", at(0)))
			a.pods.observe(windowsPod(n, "b", netip.Addr{}))
			n.ready = true
			a.pods.ended("b", 0)
		}, 33, 15},
	} {
		t.Run(name, func(t *testing.T) {
			a, n := readyNode()
			c.pods(a, n)
			if got := n.advertised("win-1"); got != c.total {
				t.Errorf("advertises %d, want %d", got, c.total)
			}
			if room, _ := n.room(); room.Refusal != extender.Fits || room.Free != c.free {
				t.Errorf("room = %+v, want %d free", room, c.free)
			}
		})
	}
}

// Pods that others have bound wait for what cools, and not beside it: there is one
// address for the two of them.
func TestTotalCountsWhatCoolsOnce(t *testing.T) {
	a, n := readyNode()
	n.ledger.SetSlots(1)
	for i := range byte(16) {
		a.pods.observe(windowsPod(n, types.UID(rune('a'+i)), at(i)))
	}
	a.pods.ended("a", 0)
	if got := n.advertised("win-1"); got != 16 {
		t.Errorf("advertises %d, want 15 in use and 1 that cools", got)
	}
	n.wait(1)
	if got := n.advertised("win-1"); got != 16 {
		t.Errorf("advertises %d though a pod waits for what cools, want 16", got)
	}
}

// I9: what a node shows more of is counted on once its kubelet is sure to see it.
func TestI9BindWaitsForTheKubelet(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "pod", UID: "pod"}}
		if _, err := a.kube.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		n.notesTotal("win-1", 0)
		time.Sleep(time.Minute)
		answer := make(chan error, 1)
		go func() {
			answer <- a.Bind(t.Context(), types.NamespacedName{Namespace: "default", Name: "pod"}, "pod", "win-1")
		}()
		time.Sleep(time.Second)
		n.notesTotal("win-1", 32)
		time.Sleep(kubeletLag - time.Second)
		select {
		case err := <-answer:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		time.Sleep(2 * time.Second)
		if err := <-answer; err != nil {
			t.Error(err)
		}
	})
}

// A bind that no kubelet would take in time is not posted, and keeps no address.
func TestI9BindNotShownInTime(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		n.notesTotal("win-1", 0)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := a.Bind(ctx, types.NamespacedName{}, "pod", "win-1"); !errors.Is(err, errNotShown) {
			t.Errorf("Bind = %v, want %v", err, errNotShown)
		}
		if room, _ := n.room(); room.Free != 16 || len(n.bindings) > 0 {
			t.Errorf("%d addresses are free, %d bindings left", room.Free, len(n.bindings))
		}
	})
}

// The least of the totals that a Node has shown of late is what a kubelet may see.
func TestShown(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	const half = kubeletLag / 2
	for name, c := range map[string]struct {
		totals []int // half of the lag apart
		after  time.Duration
		want   int
	}{
		"nothing":                {nil, 0, 0},
		"one, too new":           {[]int{14}, kubeletLag - 1, 0},
		"one":                    {[]int{14}, kubeletLag, 14},
		"growth, too new":        {[]int{4, 14}, kubeletLag - 1, 4},
		"growth, seen":           {[]int{4, 14}, kubeletLag, 14},
		"less counts at once":    {[]int{14, 14, 14, 4}, 0, 4},
		"less, and more again":   {[]int{14, 4, 14}, half, 4},
		"more again, and seen":   {[]int{14, 4, 14}, kubeletLag, 14},
		"growth after growth":    {[]int{4, 8, 14}, half, 8},
		"a kubelet has reset it": {[]int{14, 0}, time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var s shown
			now := start
			for i, total := range c.totals {
				now = start.Add(time.Duration(i) * half)
				s.note("win-1", total, now)
			}
			if got := s.least("another", now); got != 0 {
				t.Errorf("another Node shows %d", got)
			}
			if got := s.least("win-1", now.Add(c.after)); got != c.want {
				t.Errorf("least = %d, want %d", got, c.want)
			}
		})
	}
}
