package scheduler

import (
	"cmp"
	"container/heap"
	"strings"
	"time"
)

// podHeap holds pods with the first on top.
type podHeap struct {
	pods []*queued
	less func(x, y *queued) bool
}

func (h *podHeap) Len() int           { return len(h.pods) }
func (h *podHeap) Less(i, j int) bool { return h.less(h.pods[i], h.pods[j]) }

func (h *podHeap) Swap(i, j int) {
	h.pods[i], h.pods[j] = h.pods[j], h.pods[i]
	h.pods[i].index, h.pods[j].index = i, j
}

// Push is for container/heap; see insert.
func (h *podHeap) Push(x any) {
	q := x.(*queued)
	q.index, q.in = len(h.pods), h
	h.pods = append(h.pods, q)
}

// Pop is for container/heap; see take.
func (h *podHeap) Pop() any {
	last := len(h.pods) - 1
	q := h.pods[last]
	h.pods[last] = nil
	h.pods = h.pods[:last]
	q.in = nil
	return q
}

func (h *podHeap) insert(q *queued) { heap.Push(h, q) }

// take takes out the first; nil: there is none.
func (h *podHeap) take() *queued {
	if len(h.pods) == 0 {
		return nil
	}
	return heap.Pop(h).(*queued)
}

func (h *podHeap) first() *queued {
	if len(h.pods) == 0 {
		return nil
	}
	return h.pods[0]
}

func (h *podHeap) remove(q *queued) { heap.Remove(h, q.index) }

// byPriority has the more important first, then those that wait longer
// (plugins/queuesort/priority_sort.go Less). Which of two that are alike comes first is
// anyone's guess; here it is the name, so that a history repeats itself.
func byPriority(x, y *queued) bool {
	return cmp.Or(
		cmp.Compare(y.info.priority, x.info.priority), x.since.Compare(y.since), strings.Compare(x.info.pod.Name, y.info.pod.Name),
	) < 0
}

// byExpiry has those first whose back-off ends first, and of those that end in the same
// window the more important (backend/queue/backoff_queue.go lessBackoffCompletedWithPriority).
func byExpiry(x, y *queued) bool {
	if a, b := x.backoffEnd(), y.backoffEnd(); !a.Equal(b) {
		return a.Before(b)
	}
	return byPriority(x, y)
}

// The back-off of a pod (backend/queue/scheduling_queue.go, backoff_queue.go). Its end is
// cut down to whole windows, all of which end at once.
const (
	initialBackoff = time.Second
	maxBackoff     = 10 * time.Second
	window         = time.Second
)

// backoffEnd is when a pod's back-off ends: its window is over only after that. A pod that
// came back because of errors waits by how many there were in a row
// (backoff_queue.go getBackoffTime).
func (q *queued) backoffEnd() time.Time {
	count := q.rejections
	if q.failures > 0 {
		count = q.failures
	}
	if count == 0 {
		return time.Time{}
	}
	d := maxBackoff
	if shift := count - 1; initialBackoff <= maxBackoff>>shift {
		d = initialBackoff << shift
	}
	return q.since.Add(d).Truncate(window)
}

func (q *queued) backingOff(now time.Time) bool {
	return !q.backoffEnd().Before(now.Truncate(window))
}
