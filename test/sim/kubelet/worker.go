package kubelet

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/sim/scheduler/fit"
)

// worker leads one pod through its life (pod_workers.go).
type worker struct {
	k        *life
	uid      types.UID
	requests fit.Amounts
	ctx      context.Context
	end      context.CancelFunc // the pod's object has gone, or the kubelet's life is over
	changed  chan struct{}      // pod was replaced
	report   *report

	// Guarded by k.mu:
	pod    *corev1.Pod // as the watch shows it
	counts bool        // for the admission of others
}

func newWorker(k *life, p *corev1.Pod) *worker {
	w := &worker{k: k, uid: p.UID, requests: fit.Requests(p), pod: p, changed: make(chan struct{}, 1)}
	w.ctx, w.end = context.WithCancel(k.ctx)
	w.report = &report{ctx: w.ctx, all: &k.all, pods: k.pods, pod: p, again: func() time.Duration { return k.m.dice.within(syncPeriod) }}
	return w
}

// see takes up a version of the pod. Caller holds k.mu.
func (w *worker) see(p *corev1.Pod) {
	w.pod = p
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *worker) latest() *corev1.Pod {
	w.k.mu.Lock()
	defer w.k.mu.Unlock()
	return w.pod
}

// reject tells that a pod does not fit, for good (kubelet.go rejectPod). It never counts,
// even while the sandbox of one that was running before a restart is taken down.
func (w *worker) reject(v verdict) {
	w.report.publish(rejectedStatus(v, w.sandbox() != nil))
	w.tearDown()
	w.removeOnceDeleted()
}

// run leads a pod that was admitted, or has ended before, to its end. Each step is over as
// soon as the pod is deleted, or somebody writes that it has ended.
func (w *worker) run() {
	if s := w.running(); s != nil {
		w.report.publish(runningStatus(s.address, w.k.m.node.hostIP()))
	}
	switch {
	case w.completes():
		w.report.publish(endedStatus(w.sandbox().phase))
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

// running is the sandbox of a pod that is to run: that of an earlier life of the kubelet,
// which may not have told of it, or else it is started. nil: the pod has ended before.
func (w *worker) running() *sandbox {
	if over(w.latest()) {
		return nil
	}
	if s := w.sandbox(); s != nil {
		return s
	}
	if !w.start() {
		return nil
	}
	return w.k.m.sandboxes.start(w.latest())
}

func (w *worker) sandbox() *sandbox { return w.k.m.sandboxes.of(w.uid) }

// start waits until the pod can start: once it has an address, and its image. It says
// whether that came before its end.
func (w *worker) start() bool {
	began := time.Now()
	if !hasAddress(w.latest()) && !(w.await(func(p *corev1.Pod) bool { return over(p) || hasAddress(p) }) && w.staysFor(nextTry(time.Since(began)))) {
		return false
	}
	return w.staysFor(duration(w.latest(), StartAfterAnnotation, 0))
}

// completes waits until the pod ends by itself, if it does so before another end.
func (w *worker) completes() bool {
	s := w.sandbox()
	return s != nil && !s.ends.IsZero() && w.staysFor(time.Until(s.ends))
}

// tearDown takes down the sandbox of a pod of which the API server is told that it has
// ended. Only then the pod counts no more; that the sandbox has gone is told as the last
// thing (kubelet.go SyncTerminatingPod and SyncTerminatedPod).
func (w *worker) tearDown() {
	there := w.sandbox() != nil
	if there && !sleep(w.ctx, w.teardown(w.k.m.o.Teardown)) {
		return
	}
	w.tornDown()
	if there {
		w.report.publish(tornDownStatus)
	}
}

// stop ends a pod that was deleted: its containers stop, at the latest when its grace
// period is over, its sandbox goes, and only then the API server is told of its end.
func (w *worker) stop() {
	p, started := w.latest(), w.sandbox() != nil
	if started && !w.stopContainers(p) || !sleep(w.ctx, w.teardown(w.k.m.o.Deletion)) {
		return
	}
	w.tornDown()
	w.report.publish(stoppedStatus(started))
}

// stopContainers waits until the containers have stopped. A grace period that is made
// shorter counts (pod_workers.go calculateEffectiveGracePeriod).
func (w *worker) stopContainers(p *corev1.Pod) bool {
	began, takes := time.Now(), duration(p, StopAfterAnnotation, 0)
	for {
		left := time.Until(began.Add(min(takes, grace(w.latest()))))
		if left <= 0 {
			return w.ctx.Err() == nil
		}
		select {
		case <-w.ctx.Done():
			return false
		case <-time.After(left):
		case <-w.changed:
		}
	}
}

func (w *worker) teardown(s apiserver.Spread) time.Duration {
	return duration(w.latest(), TeardownAnnotation, w.k.m.dice.draw(s))
}

// tornDown has the pod count no more.
func (w *worker) tornDown() {
	w.k.m.sandboxes.tearDown(w.uid)
	w.k.mu.Lock()
	defer w.k.mu.Unlock()
	w.counts = false
}

// removeOnceDeleted removes the object of a pod that has ended, if it was deleted while
// that was not known (status/status_manager.go canBeDeleted). One that is deleted later,
// or by force, the API server removes by itself.
func (w *worker) removeOnceDeleted() {
	if w.await(deleted) {
		w.report.remove()
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
