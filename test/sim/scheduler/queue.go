package scheduler

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// queued is a pod that waits to be scheduled, or is being scheduled.
type queued struct {
	info       *podInfo
	since      time.Time // when it was added, or came back after an attempt
	rejections int       // attempts that ended by a rejection
	failures   int       // attempts in a row that ended by an error
	rejectors  plugins   // of the last attempt; none: it ended by an error
	gated      bool      // DefaultPreemption does not let it in
	flushed    time.Time // when it was last tried because it had waited for too long

	in    *podHeap // nil: it is among the unschedulable, or in flight
	index int      // in that heap
}

// queue is the pods that wait (backend/queue/scheduling_queue.go PriorityQueue), in three
// places: active (the next to be tried), backoff, and unschedulable, where they stay until
// something happens that may help, or for five minutes. When nothing is active the next
// comes out of backoff, whether its back-off has ended or not (SchedulerPopFromBackoffQ, on
// since 1.33); not so after an error. Guarded by memory.mu.
type queue struct {
	active, backoff, failed podHeap // failed is the backoff of those that failed by an error
	unschedulable           map[types.NamespacedName]*queued
	waiting                 map[types.NamespacedName]*queued // all but those in flight
	flight                  flight
	nominated               *nominator
	preempting              *preempting

	started time.Time // of its clocks
	alarm   *alarm    // rings when flush is due
}

func newQueue(now time.Time, a *alarm, n *nominator, p *preempting) *queue {
	return &queue{
		active: podHeap{less: byPriority}, backoff: podHeap{less: byExpiry}, failed: podHeap{less: byExpiry},
		unschedulable: map[types.NamespacedName]*queued{}, waiting: map[types.NamespacedName]*queued{},
		flight: flight{from: map[types.UID]int{}}, nominated: n, preempting: p, started: now, alarm: a,
	}
}

// add takes up a pod that is new (Add).
func (s *queue) add(info *podInfo, now time.Time) {
	q := &queued{info: info, since: now}
	s.nominated.add(info.pod, nil)
	s.waiting[keyOf(info.pod)] = q
	s.toActive(q)
}

// toActive has a pod tried as soon as may be, unless it is gated (moveToActiveQ).
func (s *queue) toActive(q *queued) {
	if s.admits(q) {
		s.active.insert(q)
	}
}

// toBackoff has a pod tried after its back-off, unless it is gated (moveToBackoffQ).
func (s *queue) toBackoff(q *queued) {
	if !s.admits(q) {
		return
	}
	if q.rejectors == 0 {
		s.failed.insert(q)
	} else {
		s.backoff.insert(q)
	}
	s.alarm.set(q.backoffEnd().Add(window))
}

// admits asks the PreEnqueue plugins, and keeps a pod that they do not let in with the
// unschedulable ones (runPreEnqueuePlugins). It has been taken out of where it was.
func (s *queue) admits(q *queued) bool {
	q.gated = s.preempting.gates(q.info.pod.UID)
	if q.gated {
		q.rejectors |= defaultPreemption
		s.park(q)
		return false
	}
	delete(s.unschedulable, keyOf(q.info.pod))
	return true
}

// park leaves a pod with the unschedulable ones.
func (s *queue) park(q *queued) {
	s.unschedulable[keyOf(q.info.pod)] = q
	s.alarm.set(s.flushDue(q))
}

// requeue has a pod tried again: now, or after its back-off if that has not ended
// (requeueEntityWithQueueingStrategy).
func (s *queue) requeue(q *queued, now time.Time) {
	if q.backingOff(now) {
		s.toBackoff(q)
		return
	}
	s.toActive(q)
}

// pop takes out the next pod to be tried; nil: there is none. Whatever happens from now on
// is kept for it until done.
func (s *queue) pop() *queued {
	q := s.active.take()
	if q == nil {
		q = s.backoff.take()
	}
	if q == nil {
		return nil
	}
	delete(s.waiting, keyOf(q.info.pod))
	if !s.flight.begin(q.info.pod.UID) {
		return s.pop() // it is being tried already (active_queue.go unlockedMoveEntityToInFlight)
	}
	return q
}

// comeBack takes up a pod whose attempt has ended without success, as its watch shows it
// now, and says whether it did (AddUnschedulablePodIfNotPresent). It is tried again if
// something has happened in the meantime that may help.
func (s *queue) comeBack(q *queued, rejectors plugins, now time.Time) {
	uid := q.info.pod.UID
	defer s.flight.end(uid)
	if _, there := s.waiting[keyOf(q.info.pod)]; there {
		return
	}
	q.rejectors, q.since, q.flushed = rejectors, now, time.Time{}
	if rejectors == 0 {
		q.failures++
	} else {
		q.rejections++
		q.failures = 0
	}
	s.waiting[keyOf(q.info.pod)] = q
	if rejectors == 0 || s.flight.since(uid, q.helps) {
		s.requeue(q, now)
		return
	}
	s.park(q)
}

// move has those unschedulable pods tried again whom an event may help, as far as they are
// chosen; nil: all are. Those in flight are told of it when they come back
// (moveAllToActiveOrBackoffQueue, moveEntitiesToActiveOrBackoffQueue).
func (s *queue) move(e event, chosen func(*podInfo) bool, now time.Time) {
	for _, q := range s.unschedulable {
		if chosen != nil && !chosen(q.info) {
			continue
		}
		// DefaultPreemption registers for the end of assigned pods alone.
		if q.gated && e.kind != podDelete && e.kind != timeout {
			continue
		}
		if q.helps(e) {
			s.requeue(q, now)
		}
	}
	s.flight.note(e)
}

// update takes up another version of a waiting pod (Update).
func (s *queue) update(before, after *corev1.Pod, now time.Time) {
	e := ownEvent(before, after)
	if s.flight.has(after.UID) {
		s.flight.note(e)
		return
	}
	q := s.waiting[keyOf(after)]
	if q == nil {
		s.add(newPodInfo(after, nil), now)
		return
	}
	q.info = newPodInfo(after, q.info)
	s.nominated.update(before, after)
	if q.in == nil && q.helps(e) {
		s.requeue(q, now)
	}
}

// remove forgets a pod (Delete).
func (s *queue) remove(p *corev1.Pod) {
	s.nominated.remove(p.UID)
	q := s.waiting[keyOf(p)]
	if q == nil {
		return
	}
	if q.in != nil {
		q.in.remove(q)
	}
	delete(s.waiting, keyOf(p))
	delete(s.unschedulable, keyOf(p))
}

// activate has a pod tried at once (Activate).
func (s *queue) activate(p *corev1.Pod) {
	q := s.waiting[keyOf(p)]
	switch {
	case q == nil:
		s.flight.note(event{kind: activate, pod: p})
	case q.in == &s.active:
	case q.in != nil:
		q.in.remove(q)
		s.toActive(q)
	default:
		s.toActive(q)
	}
}

func keyOf(p *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
}
