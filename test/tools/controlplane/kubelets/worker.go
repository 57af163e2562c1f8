package main

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// Annotations by which a pod says what to play, each a duration. They are told of
// in test/controlplane/kubelets.go.
const (
	startAfter    = "kwok.slotwise.dev/start-after"
	completeAfter = "kwok.slotwise.dev/complete-after"
	stopAfter     = "kwok.slotwise.dev/stop-after"
	teardown      = "kwok.slotwise.dev/teardown"
)

// worker leads one pod through its life (pod_workers.go).
type worker struct {
	kubelet *kubelet
	ctx     context.Context
	end     context.CancelFunc // the pod's object has gone, or the kubelet restarts
	changed chan struct{}      // pod was replaced

	sandbox bool // it is there; to be read and written by run

	// Guarded by the kubelet's lock:
	pod    *corev1.Pod // as the API server has it
	counts bool        // for the admission of others
}

// newWorker makes a worker of a pod. k is locked.
func newWorker(k *kubelet, p *corev1.Pod) *worker {
	w := &worker{kubelet: k, pod: p, changed: make(chan struct{}, 1), sandbox: hasSandbox(p)}
	w.ctx, w.end = context.WithCancel(k.ctx)
	return w
}

// see takes up a version of the pod. The kubelet is locked.
func (w *worker) see(p *corev1.Pod) {
	w.pod = p
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *worker) latest() *corev1.Pod {
	w.kubelet.mu.Lock()
	defer w.kubelet.mu.Unlock()
	return w.pod
}

// reject tells that a pod does not fit, for good (kubelet.go rejectPod). It never
// counts. One that was running before a restart has a sandbox to be taken down.
func (w *worker) reject(reason, message string) {
	defer w.end()
	p := w.latest()
	klog.InfoS("Pod was rejected", "pod", klog.KObj(p), "node", p.Spec.NodeName, "reason", reason, "message", message)
	w.publish(rejectedStatus(reason, message, w.sandbox))
	w.tearDown()
	w.removeOnceDeleted()
}

// run leads a pod that was admitted, or has ended before, to its end. Each step is
// over as soon as the pod is deleted, or somebody writes that it has ended.
func (w *worker) run() {
	defer w.end()
	if w.latest().Status.Phase == corev1.PodPending && w.starts() {
		w.sandbox = true
		w.publish(runningStatus(w.latest(), hostIP(w.kubelet.view.at(time.Now()))))
	}
	switch {
	case w.completes():
		w.publish(completedStatus(w.latest()))
		w.tearDown()
	case !w.await(over):
		return
	case ended(w.latest()):
		w.tearDown()
	default:
		w.stop()
	}
	w.removeOnceDeleted()
}

// starts waits until the pod can start: once it has an address, and its image. It
// says whether that came before its end.
func (w *worker) starts() bool {
	w.await(func(p *corev1.Pod) bool { return over(p) || hasAddress(p) })
	return w.staysFor(duration(w.latest(), startAfter, 0))
}

// completes waits until the pod ends by itself, if it does so before another end.
func (w *worker) completes() bool {
	after := duration(w.latest(), completeAfter, -1)
	return after >= 0 && w.staysFor(after)
}

// tearDown takes down the sandbox of a pod of which the API server knows that it has
// ended. Only then the pod counts no more; that the sandbox has gone is told as the
// last thing (kubelet.go SyncTerminatingPod and SyncTerminatedPod).
func (w *worker) tearDown() {
	if w.sandbox && !w.sleep(duration(w.latest(), teardown, w.kubelet.knobs.teardown)) {
		return
	}
	w.kubelet.tornDown(w)
	if w.sandbox {
		w.publish(tornDownStatus())
	}
}

// stop ends a pod that was deleted: its containers stop, its sandbox goes, and only
// then the API server is told of its end (kubelet.go SyncTerminatedPod).
func (w *worker) stop() {
	p := w.latest()
	if !w.sleep(duration(p, stopAfter, 0)) || !w.sleep(duration(p, teardown, w.kubelet.knobs.deletion)) {
		return
	}
	w.kubelet.tornDown(w)
	w.publish(stoppedStatus(p, w.sandbox))
}

// removeOnceDeleted removes the object of a pod that has been told to have ended, if
// it was deleted while that was not known (status/status_manager.go canBeDeleted).
// One that is deleted later, or by force, the API server removes by itself.
func (w *worker) removeOnceDeleted() {
	if w.await(deleted) {
		w.kubelet.writer.remove(w.ctx, w.latest())
	}
}

// await waits until check says yes of the pod; false if w ends before.
func (w *worker) await(check func(*corev1.Pod) bool) bool {
	for !check(w.latest()) {
		select {
		case <-w.ctx.Done():
			return false
		case <-w.changed:
		}
	}
	return w.ctx.Err() == nil
}

// staysFor waits, and says whether the pod is not over by then.
func (w *worker) staysFor(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for !over(w.latest()) {
		select {
		case <-w.ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-w.changed:
		}
	}
	return false
}

// sleep waits, and says whether w goes on.
func (w *worker) sleep(d time.Duration) bool {
	select {
	case <-w.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (w *worker) publish(s corev1.PodStatus) { w.kubelet.writer.publish(w.ctx, w.latest(), s) }
