package node

import (
	"slices"
	"sync"
	"time"
)

// A kubelet admits a pod against the node's total as its watch has shown it, and the
// pods that it still counts: each until its sandbox has been torn down, which is after
// its phase was published (Kubernetes 1.37: pkg/kubelet/lifecycle/predicate.go,
// pkg/kubelet/kubelet_pods.go isPodInactive, kubelet.go SyncTerminatingPod). What it
// rejects has failed for good. So the total is never less than what it may count and
// what may yet be bound (I9): what cools stays in it, although the extender gives none
// of that to the scheduler.

// kubeletLag is how far a kubelet's watch of its Node may be behind. What a node shows
// more of is not counted on before.
const kubeletLag = 2 * time.Second

// Shown remembers the totals that a Node has shown of late. Whoever watches it may still
// see any of those that were there within kubeletLag. It is safe for concurrent use.
type Shown struct {
	mu     sync.Mutex
	node   string
	totals []shownTotal // by time
}

type shownTotal struct {
	total int
	at    time.Time
}

// Note takes in what a Node shows from now on, where that is news. What another one than
// before has shown so far is not known, so it counts as nothing.
func (s *Shown) Note(node string, total int, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node != node {
		s.node, s.totals = node, []shownTotal{{}}
	} else if s.totals[len(s.totals)-1].total == total {
		return
	}
	s.totals = append(s.totals, shownTotal{total, now})
}

// least is the least total that a Node's kubelet may see at a time; 0 where nothing is
// known.
func (s *Shown) least(node string, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node != node {
		return 0
	}
	for len(s.totals) > 1 && !now.Before(s.totals[1].at.Add(kubeletLag)) {
		s.totals = s.totals[1:]
	}
	return slices.MinFunc(s.totals, func(x, y shownTotal) int { return x.total - y.total }).total
}

// Last is the total that a Node shows now; 0 where nothing is known.
func (s *Shown) Last(node string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node != node {
		return 0
	}
	return s.totals[len(s.totals)-1].total
}
