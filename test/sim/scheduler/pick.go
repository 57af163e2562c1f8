package scheduler

import (
	"cmp"
	"math"
	"time"
)

// pick chooses the candidate where evictions hurt least, and any of those that are alike
// (preemption.go pickOneNodeForPreemption).
func pick(candidates []candidate, now time.Time) candidate {
	best := candidates[0]
	for _, c := range candidates[1:] {
		if hurts(c, best, now) < 0 {
			best = c
		}
	}
	return best
}

// hurts compares two candidates: by violated budgets, by the priority of the first victim,
// by the sum of priorities, by how many they are, and at last by when the most important
// of them started: the later the better.
func hurts(a, b candidate, now time.Time) int {
	return cmp.Or(
		cmp.Compare(a.violations, b.violations),
		cmp.Compare(a.victims[0].priority, b.victims[0].priority),
		cmp.Compare(a.sum(), b.sum()),
		cmp.Compare(len(a.victims), len(b.victims)),
		b.earliest(now).Compare(a.earliest(now)),
	)
}

// sum adds up priorities, each counted from the least that there is.
func (c candidate) sum() (sum int64) {
	for _, v := range c.victims {
		sum += int64(v.priority) + math.MaxInt32 + 1
	}
	return sum
}

// earliest is when the first of the most important victims started
// (util/utils.go GetEarliestPodStartTime).
func (c candidate) earliest(now time.Time) time.Time {
	top, first := c.victims[0].priority, c.victims[0].startTime(now)
	for _, v := range c.victims[1:] {
		start := v.startTime(now)
		if v.priority > top || v.priority == top && start.Before(first) {
			top, first = v.priority, start
		}
	}
	return first
}
