package scheduler

import "time"

const (
	// maxUnschedulable is how long a pod waits for an event
	// (DefaultPodMaxInUnschedulablePodsDuration).
	maxUnschedulable = 5 * time.Minute
	// flushPeriod is how often the scheduler looks for pods that have waited longer.
	flushPeriod = 30 * time.Second
)

// flush moves what has waited long enough: pods whose back-off has ended, and those that
// have been unschedulable for five minutes (flushBackoffQCompleted,
// flushUnschedulableEntitiesLeftover). kube-scheduler looks each second and each 30 s;
// here the queue says when there is something to be found, at the same instants.
func (s *queue) flush(now time.Time) {
	for _, h := range []*podHeap{&s.backoff, &s.failed} {
		for q := h.first(); q != nil && !q.backingOff(now); q = h.first() {
			h.remove(q)
			s.active.insert(q)
		}
	}
	for _, q := range s.unschedulable {
		if !now.Before(s.flushDue(q)) {
			q.flushed = now
			s.requeue(q, now)
			s.flight.note(event{kind: timeout})
		}
	}
	s.alarm.rung()
	s.rearm()
}

// rearm asks to be woken when something is due again.
func (s *queue) rearm() {
	for _, h := range []*podHeap{&s.backoff, &s.failed} {
		if q := h.first(); q != nil {
			s.alarm.set(q.backoffEnd().Add(window))
		}
	}
	for _, q := range s.unschedulable {
		s.alarm.set(s.flushDue(q))
	}
}

// flushDue is the first look at which a pod has been unschedulable for too long.
func (s *queue) flushDue(q *queued) time.Time {
	since := q.since
	if q.flushed.After(since) {
		since = q.flushed
	}
	waited := since.Add(maxUnschedulable).Sub(s.started)
	return s.started.Add(waited.Truncate(flushPeriod) + flushPeriod)
}
