package kubelet

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// syncPeriod is how often the status manager looks for what it could not write
// (status/status_manager.go).
const syncPeriod = 10 * time.Second

// report tells the API server of one pod, beside what the kubelet does with it: what it
// cannot write at once it writes later, all together (status_manager.go).
type report struct {
	ctx  context.Context // until the pod's object has gone, or the kubelet's life is over
	all  *sync.WaitGroup // of that life
	pods apiserver.Remote[*corev1.Pod]
	pod  *corev1.Pod
	// again is when what has failed is tried again: wherever in a period the failure
	// falls.
	again func() time.Duration

	mu      sync.Mutex // guards all below
	pending []change
	last    bool // the object is to be removed, too
	running bool
}

// publish writes a change of the status, if the pod is still the same one.
func (r *report) publish(c change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, c)
	r.runLocked()
}

// remove removes the object once all is written (syncPod, canBeDeleted).
func (r *report) remove() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = true
	r.runLocked()
}

// runLocked has what is pending written. Caller holds r.mu.
func (r *report) runLocked() {
	if !r.running {
		r.running = true
		r.all.Go(r.run)
	}
}

func (r *report) run() {
	for changes, last := r.next(); len(changes) > 0 || last; changes, last = r.next() {
		if len(changes) == 0 {
			r.insist(r.delete)
			return
		}
		r.insist(func() error { return r.write(changes) })
	}
}

// next takes what is to be written next; nothing ends the run.
func (r *report) next() (changes []change, last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changes, r.pending = r.pending, nil
	if r.ctx.Err() != nil {
		changes = nil
	}
	last = r.last && r.ctx.Err() == nil
	r.running = len(changes) > 0 || last
	return changes, last
}

// write patches the status. A phase that is final stays (updateStatusInternal).
func (r *report) write(changes []change) error {
	_, err := r.pods.Change(r.ctx, keyOf(r.pod), r.pod.UID, func(now *corev1.Pod) error {
		for _, c := range changes {
			final, phase := ended(now), now.Status.Phase
			c(&now.Status)
			if final {
				now.Status.Phase = phase
			}
		}
		return nil
	})
	return err
}

func (r *report) delete() error {
	return r.pods.Delete(r.ctx, keyOf(r.pod), apiserver.Deletion{UID: r.pod.UID, Grace: apiserver.Force()})
}

// insist makes a request until it is answered, or the life ends. A pod that is not there,
// or is another one (by its UID in a patch or a precondition), needs no more.
func (r *report) insist(request func() error) {
	for r.ctx.Err() == nil {
		err := request()
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsInvalid(err) {
			return
		}
		sleep(r.ctx, r.again())
	}
}

func keyOf(p *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
}

// sleep waits; false: ctx has ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
