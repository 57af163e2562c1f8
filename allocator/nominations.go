package allocator

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// An address takes 30 s from the end of the pod that had it until another pod may have
// it. kube-scheduler does not know that: as soon as nothing terminates any more on the
// node that it has nominated, it lets the pod preempt again, and on other nodes at once
// where the extender turns the nominated one down (Kubernetes 1.37:
// plugins/defaultpreemption/default_preemption.go PodEligibleToPreemptOthers). So what
// is on its way to whom is remembered here, and whoever decides on evictions asks.

// nominationSlack is how long an address that has come free is kept for its pod: the
// scheduler's longest back-off, 10 s, and its cycle.
const nominationSlack = 15 * time.Second

// evictionTime is how long the scheduler may take to delete the victims that it was
// granted.
const evictionTime = 15 * time.Second

// readingTime is how long a nomination stands on a node that is read anew.
const readingTime = 2 * time.Minute

// nomination is an address on its way to a pod that cannot be scheduled yet.
type nomination struct {
	pod      types.UID
	priority int32
	node     *node
	victims  []types.UID // whose ends bring it; none: it cools already
	made     time.Time
	until    time.Time // the end of it, as far as time alone decides; see standing
}

// nominations are all of them: one a pod. Their lock is taken under those of nodes,
// and none is taken under it.
type nominations struct {
	mu     sync.Mutex
	byPod  map[types.UID]*nomination
	byNode map[*node][]*nomination
}

func newNominations() *nominations {
	return &nominations{byPod: map[types.UID]*nomination{}, byNode: map[*node][]*nomination{}}
}

// add notes a nomination in the place of another one of its pod.
func (s *nominations) add(x nomination) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(x.pod)
	s.byPod[x.pod] = &x
	s.byNode[x.node] = append(s.byNode[x.node], &x)
	x.node.nominated.Store(true)
}

// remove forgets the nomination of a pod that needs it no longer.
func (s *nominations) remove(pod types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(pod)
}

// drop forgets the nomination of a pod; the lock is held.
func (s *nominations) drop(pod types.UID) {
	x := s.byPod[pod]
	if x == nil {
		return
	}
	delete(s.byPod, pod)
	rest := slices.DeleteFunc(s.byNode[x.node], func(y *nomination) bool { return y == x })
	if len(rest) > 0 {
		s.byNode[x.node] = rest
		return
	}
	delete(s.byNode, x.node)
	x.node.nominated.Store(false)
}

// move hands the nominations of a node to the one that takes its place.
func (s *nominations) move(from, to *node) {
	for _, x := range s.on(from) {
		x.node = to
		s.add(x)
	}
}

// of finds the nomination of a pod.
func (s *nominations) of(pod types.UID) (nomination, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.byPod[pod]; x != nil {
		return *x, true
	}
	return nomination{}, false
}

// on lists the nominations on a node.
func (s *nominations) on(n *node) []nomination {
	if !n.nominated.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]nomination, 0, len(s.byNode[n]))
	for _, x := range s.byNode[n] {
		all = append(all, *x)
	}
	return all
}

// kept counts the addresses of a node that are kept for pods of a higher priority than
// the given pod's.
func (s *nominations) kept(n *node, pod types.UID, priority int32) (kept int) {
	for _, x := range s.on(n) {
		if x.pod != pod && x.priority > priority {
			kept++
		}
	}
	return kept
}

// every lists all nominations.
func (s *nominations) every() []nomination {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]nomination, 0, len(s.byPod))
	for _, x := range s.byPod {
		all = append(all, *x)
	}
	return all
}

// extend puts off the end of a pod's nomination.
func (s *nominations) extend(pod types.UID, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.byPod[pod]; x != nil {
		x.until = until
	}
}

// standing says whether an address is still on its way by a nomination, or kept for it.
// While victims stop, and while what they had cools, it does not age; it ends where
// the scheduler has not deleted a victim that it was granted.
func (x nomination) standing(now time.Time) (stands bool, until time.Time) {
	n := x.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.known { // it is read anew
		return !n.retired && now.Before(x.made.Add(readingTime)), x.until
	}
	stopping := false
	for _, uid := range x.victims {
		p, lives := n.pods[uid]
		if lives && !p.ending && !now.Before(x.made.Add(evictionTime)) {
			return false, x.until
		}
		stopping = stopping || lives
	}
	if stopping {
		return true, now.Add(nominationSlack)
	}
	if s := n.summary.Load(); s.remaining(n.budget.available(s.Mode)) <= 0 && s.Cooling > 0 {
		return true, now.Add(nominationSlack)
	}
	return now.Before(x.until), x.until
}

// reviewNominations ends the nominations that stand no longer. What was kept for them
// others may have, so those are woken; and kube-scheduler, which nominates more pods
// than there is room for where one of higher priority has come in between, then turns
// all of them away until it looks at one again.
func (a *Allocator) reviewNominations(now time.Time) {
	for _, x := range a.nominations.every() {
		stands, until := x.standing(now)
		if stands {
			a.nominations.extend(x.pod, until)
			continue
		}
		a.nominations.remove(x.pod)
		a.nudge(x.node.name())
	}
}
