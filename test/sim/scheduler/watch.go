package scheduler

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// watches take up what the API server tells of nodes and pods (eventhandlers.go). The two
// lag each on its own.
type watches struct {
	m    *memory
	name string // of the scheduler
}

// seeNode takes up a Node that is new (old is nil), has changed, or has gone (now is nil).
func (w watches) seeNode(old, now *corev1.Node) {
	w.m.mu.Lock()
	defer w.m.unlock()
	at := time.Now()
	switch {
	case now == nil:
		w.m.queue.move(event{kind: nodeDelete, oldNode: old}, nil, at)
		w.m.cache.removeNode(old.Name)
	case old == nil || old.UID != now.UID:
		w.m.cache.setNode(now)
		w.m.queue.move(event{kind: nodeAdd, newNode: now}, nil, at)
	default:
		w.m.cache.setNode(now)
		for _, e := range nodeEvents(old, now) {
			w.m.queue.move(e, nil, at)
		}
	}
}

// seePod takes up a pod that is new, has changed, or has gone, which it also has once it
// has ended: the scheduler does not watch those (scheduler.go newPodInformer). So it gives
// away what an ended pod had while the kubelet still counts it.
func (w watches) seePod(old, now *corev1.Pod) {
	w.m.mu.Lock()
	defer w.m.unlock()
	at := time.Now()
	if old != nil && now != nil && old.UID != now.UID {
		w.podGoneLocked(old, at)
		old = nil
	}
	switch {
	case now == nil:
		w.podGoneLocked(old, at)
	case old == nil:
		w.podAddedLocked(now, at)
	default:
		w.podChangedLocked(old, now, at)
	}
}

// podAddedLocked takes up a pod that is new. Caller holds m.mu.
func (w watches) podAddedLocked(p *corev1.Pod, at time.Time) {
	w.m.known[keyOf(p)] = p
	switch {
	case p.Spec.NodeName != "":
		w.boundLocked(p, at)
	case w.mine(p):
		w.m.queue.add(newPodInfo(p, nil), at)
	}
}

// boundLocked takes up that a pod is on a node. It counts there, and the watch has confirmed it
// if it was assumed (addAssignedPodToCache). Caller holds m.mu.
func (w watches) boundLocked(p *corev1.Pod, at time.Time) {
	w.m.cache.add(p)
	w.m.queue.move(event{kind: podAdd, pod: p}, nil, at)
}

// podChangedLocked takes up a change of a pod (updatePod). Caller holds m.mu.
func (w watches) podChangedLocked(old, now *corev1.Pod, at time.Time) {
	w.m.known[keyOf(now)] = now
	switch {
	case old.Spec.NodeName != "":
		w.m.cache.add(now)
		w.m.queue.move(event{kind: podUpdate, pod: now}, nil, at)
	case now.Spec.NodeName != "":
		w.boundLocked(now, at)
		if w.mine(old) {
			w.m.queue.remove(old) // in case another has bound it
		}
	case w.mine(old):
		w.waitingChangedLocked(old, now, at)
	}
}

// waitingChangedLocked takes up a change of a pod that is not bound (updatePodInSchedulingQueue).
// Caller holds m.mu.
func (w watches) waitingChangedLocked(old, now *corev1.Pod, at time.Time) {
	if w.m.cache.assumed(now.UID) {
		if now.DeletionTimestamp != nil && old.DeletionTimestamp == nil {
			w.assumedGoneLocked(now, at)
		}
		return
	}
	w.m.queue.update(old, now, at)
	if before := old.Status.NominatedNodeName; before != "" && before != now.Status.NominatedNodeName {
		w.freedLocked(old, at)
	}
}

// freedLocked has those pods tried again that had to stand back behind a nominated one.
// Caller holds m.mu.
func (w watches) freedLocked(p *corev1.Pod, at time.Time) {
	top := priority(p)
	w.m.queue.move(event{kind: podDelete, pod: p}, func(other *podInfo) bool { return other.priority <= top }, at)
}

// podGoneLocked takes up that a pod is there no more, or has ended (deletePod). Caller
// holds m.mu.
func (w watches) podGoneLocked(p *corev1.Pod, at time.Time) {
	delete(w.m.known, keyOf(p))
	switch {
	case p.Spec.NodeName != "":
		w.m.cache.remove(p.UID)
		w.m.queue.move(event{kind: podDelete, pod: p}, nil, at)
	case w.mine(p):
		w.m.queue.remove(p)
		if w.m.cache.assumed(p.UID) {
			w.assumedGoneLocked(p, at)
		} else if p.Status.NominatedNodeName != "" {
			w.freedLocked(p, at)
		}
	}
}

// assumedGoneLocked forgets at once a pod that is deleted while it is being bound; that goes on,
// and is expected to fail (handleAssumedPodDeletion). Caller holds m.mu.
func (w watches) assumedGoneLocked(p *corev1.Pod, at time.Time) {
	node := w.m.cache.pods[p.UID].node
	w.m.cache.remove(p.UID)
	w.m.queue.move(event{kind: podDelete, pod: placed(p, node)}, nil, at)
}

// mine says that this scheduler is to schedule a pod.
func (w watches) mine(p *corev1.Pod) bool { return p.Spec.SchedulerName == w.name }
