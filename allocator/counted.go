package allocator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"slotwise.dev/slotwise/allocator/ledger"
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

// errNotShown is why a bind has not been posted in time.
var errNotShown = errors.New("the node does not show the address to its kubelet yet")

// aftermath is what kubelets may count of a pod that has ended beyond the address that
// cools, until it has cooled; less than none where they do not count that.
type aftermath struct {
	pods  int
	until time.Time
}

// outlive notes what a kubelet may count of a pod that has ended. Caller holds n.mu.
func (n *node) outlive(p pod, cools bool, until time.Time) {
	x := aftermath{until: until}
	if p.on == n.name() {
		x.pods = p.asks
	}
	if cools {
		x.pods--
	}
	if x.pods != 0 {
		n.aftermath = append(n.aftermath, x)
	}
}

// cooling is how much of the resource kubelets may count for pods that have ended.
// Caller holds n.mu.
func (n *node) cooling(c ledger.Counts, now time.Time) int {
	n.aftermath = slices.DeleteFunc(n.aftermath, func(x aftermath) bool { return !now.Before(x.until) })
	sum := c.Cooling + c.Away
	for _, x := range n.aftermath {
		sum += x.pods
	}
	return max(0, sum)
}

// running is how much of the resource kubelets count for pods that live or are being
// bound. Caller holds n.mu.
func (n *node) running() int { return n.asked[n.name()] + len(n.bindings) }

// shown remembers the totals that a Node has shown of late. Whoever watches it may
// still see any of those that were there within kubeletLag.
type shown struct {
	node   string
	totals []shownOnce // by time
}

type shownOnce struct {
	total int
	at    time.Time
}

// note takes in what a Node shows from now on. What another one than before has shown so
// far is not known, so it counts as nothing.
func (s *shown) note(node string, total int, now time.Time) {
	if s.node != node {
		*s = shown{node: node, totals: []shownOnce{{}}}
	}
	s.totals = append(s.totals, shownOnce{total, now})
}

// least is the least total that a Node's kubelet may see at a time; 0 where nothing is
// known.
func (s *shown) least(node string, now time.Time) int {
	if s.node != node {
		return 0
	}
	for len(s.totals) > 1 && !now.Before(s.totals[1].at.Add(kubeletLag)) {
		s.totals = s.totals[1:]
	}
	return slices.MinFunc(s.totals, func(x, y shownOnce) int { return x.total - y.total }).total
}

// last is the total that a Node shows now.
func (s *shown) last(node string) (total int, known bool) {
	if s.node != node {
		return 0, false
	}
	return s.totals[len(s.totals)-1].total, true
}

// shownTotal is the total that the Node shows, as far as is known.
func (n *node) shownTotal() (total int, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.shown.last(n.name())
}

// lookAgainAt is how often a bind looks whether the node shows enough.
const lookAgainAt = 50 * time.Millisecond

// awaitKubelet waits until the node's kubelet is sure to see a total that holds all
// that it may count, the pods that are being bound among it.
func (n *node) awaitKubelet(ctx context.Context) error {
	for !n.fitsKubelet() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errNotShown, ctx.Err())
		case <-time.After(lookAgainAt):
		}
	}
	return nil
}

func (n *node) fitsKubelet() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	return n.running()+n.cooling(n.ledger.Counts(), now) <= n.shown.least(n.name(), now)
}
