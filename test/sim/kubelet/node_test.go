package kubelet

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func readiness(n *corev1.Node) corev1.ConditionStatus {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status
		}
	}
	return ""
}

func (w *world) isReady(status corev1.ConditionStatus, taints int) {
	w.t.Helper()
	n := w.node()
	if got := readiness(n); got != status || len(n.Spec.Taints) != taints {
		w.t.Errorf("the Node's readiness is %s with %d taints, want %s with %d", got, len(n.Spec.Taints), status, taints)
	}
}

// TestRegisters: a new Node is not ready, and tainted, until its kubelet says otherwise.
func TestRegisters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		go w.start(false)
		pause(settle)
		w.isReady(corev1.ConditionFalse, 1)
		pause(time.Second)
		w.isReady(corev1.ConditionTrue, 0)
		if got := w.node().Status.Allocatable["pods"]; got.Value() != 5 {
			t.Errorf("it takes %s pods, want 5", got.String())
		}
		pause(nodeLag + settle)
		w.stop()
		<-w.over
	})
}

// TestRegistersOnceItCan: an API server that is away is asked again.
func TestRegistersOnceItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.server.Down()
		w.start(false)
		w.server.Up()
		pause(30 * time.Second)
		w.isReady(corev1.ConditionTrue, 0)
		w.stop()
		<-w.over
	})
}

// TestSilentKubelet: its Node is not ready after 50 s, and is again once it is back.
func TestSilentKubelet(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.isReady(corev1.ConditionTrue, 0)
		w.stop()
		<-w.over
		pause(49 * time.Second)
		w.isReady(corev1.ConditionTrue, 0)
		pause(2 * time.Second)
		w.isReady(corev1.ConditionUnknown, 2)
		w.start(false)
		w.isReady(corev1.ConditionTrue, 0)
		w.stop()
		<-w.over
		w.start(false)
		pause(2 * time.Minute)
		w.isReady(corev1.ConditionTrue, 0) // it was back in time
	})
}

// TestNotReady: pods go on, and those that are bound all the same are admitted.
func TestNotReady(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.bind("p")
		w.machine.SetReady(w.ctx, false)
		w.isReady(corev1.ConditionFalse, 2)
		pause(nodeLag)
		w.bind("q")
		w.is("q", corev1.PodRunning)
		w.is("p", corev1.PodRunning)
		w.machine.SetReady(w.ctx, true)
		w.isReady(corev1.ConditionTrue, 0)
	})
}

// TestCopiesCapacity: who writes the capacity alone is followed by the allocatable within
// 10 s after the kubelet has heard of it.
func TestCopiesCapacity(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.changeNode(func(n *corev1.Node) { n.Status.Capacity[resourceName] = quantity(7) })
		pause(nodeLag - settle)
		if got := w.node().Status.Allocatable[resourceName]; got.Value() != 1 {
			t.Errorf("allocatable is %s already", got.String())
		}
		pause(updateFrequency + 2*settle)
		if got := w.node().Status.Allocatable[resourceName]; got.Value() != 7 {
			t.Errorf("allocatable is %s, want 7", got.String())
		}
	})
}
