package preemption

import (
	"context"
	"slices"
	"sync"
	"time"

	"slotwise.dev/slotwise/allocator/capacity"
)

const (
	// askAgainAfter is how often pods are asked for where nothing depends on it.
	askAgainAfter = 5 * time.Second
	// askTogether is how many pods are asked for at a time, so that a burst of
	// preemption is none of requests.
	askTogether = 16
	// askTimeout is how long kube-scheduler is held up for it.
	askTimeout = time.Second
)

// Pending says whether a pod is still there and not bound. Nobody tells: the watch is of
// bound pods only, and where one that waits is deleted (a DaemonSet that is rolled out
// replaces its pod) what is on its way to it would be kept from others in vain.
type Pending func(ctx context.Context, pod capacity.Pod) (bool, error)

// Verify ends the nominations of pods that are pending no longer, and says on which nodes
// something was kept in vain.
func (s *Nominations) Verify(ctx context.Context, now time.Time) (inVain []Node) {
	due := slices.DeleteFunc(s.book.all(), func(x nomination) bool { return now.Before(x.asked.Add(askAgainAfter)) })
	return s.verify(ctx, due, now)
}

// verify asks for the pods of some nominations, those that were not asked for longest.
// Where there is no answer they count as pending.
func (s *Nominations) verify(ctx context.Context, some []nomination, now time.Time) (inVain []Node) {
	slices.SortFunc(some, func(x, y nomination) int { return x.asked.Compare(y.asked) })
	some = some[:min(len(some), askTogether)]
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	gone := make([]bool, len(some))
	var asks sync.WaitGroup
	for i, x := range some {
		asks.Go(func() {
			pending, err := s.pending(ctx, x.pod)
			gone[i] = err == nil && !pending
		})
	}
	asks.Wait()
	for i, x := range some {
		if gone[i] {
			s.book.remove(x.pod.UID)
			inVain = append(inVain, x.node)
		} else {
			s.book.change(x.pod.UID, func(x *nomination) { x.asked = now })
		}
	}
	return inVain
}
