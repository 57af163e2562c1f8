// Package preemption decides on which node pods are evicted for another one, and
// remembers what is on its way to whom.
//
// An address takes 30 s from the end of the pod that had it until another pod may have
// it. kube-scheduler does not know that: as soon as nothing terminates any more on the
// node that it has nominated, it lets the pod preempt again, and on other nodes at once
// where the extender turns the nominated one down (Kubernetes 1.37:
// plugins/defaultpreemption/default_preemption.go PodEligibleToPreemptOthers). So what is
// on its way to whom is remembered here, and whoever decides on evictions asks.
package preemption

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/pods"
)

const (
	// slack is how long an address that has come free is kept for its pod: the
	// scheduler's longest back-off, 10 s, and its cycle.
	slack = 15 * time.Second
	// evictionTime is how long the scheduler may take to delete the victims that it was
	// granted.
	evictionTime = 15 * time.Second
	// readingTime is how long a nomination stands on a node that is read anew.
	readingTime = 2 * time.Minute
)

// Node is where pods may be evicted. Two are compared as pointers are.
type Node interface {
	Name() string
	// Foresee says what it will be able to do once the given pods have ended.
	Foresee(ended []types.UID) capacity.Outlook
	// Pods are those that are bound there.
	Pods() pods.Group
}

// nomination is an address on its way to a pod that cannot be scheduled yet.
type nomination struct {
	pod     capacity.Pod
	node    Node
	victims []types.UID // whose ends bring it; none: it cools already
	made    time.Time
	asked   time.Time // when the pod was last known to be pending; see Pending
	until   time.Time // the end of it, as far as time alone decides; see standing
}

// Nominations are all of them: one a pod. They are safe for concurrent use; no lock of a
// node is taken while theirs is held.
type Nominations struct {
	pending Pending

	mu     sync.Mutex
	byPod  map[types.UID]nomination
	byNode map[Node]map[types.UID]bool
}

// New makes an empty book.
func New(p Pending) *Nominations {
	return &Nominations{pending: p, byPod: map[types.UID]nomination{}, byNode: map[Node]map[types.UID]bool{}}
}

// Remove forgets the nomination of a pod that needs it no longer.
func (s *Nominations) Remove(pod types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(pod)
}

// Move hands the nominations of a node to the one that takes its place.
func (s *Nominations) Move(from, to Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for pod := range s.byNode[from] {
		x := s.byPod[pod]
		s.removeLocked(pod)
		x.node = to
		s.addLocked(x)
	}
}

// Kept counts, by node, the addresses that are kept for pods of a higher priority than
// the given one's. Nodes with none are not in it.
func (s *Nominations) Kept(pod capacity.Pod) (kept map[Node]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid, x := range s.byPod {
		if uid == pod.UID || x.pod.Priority <= pod.Priority {
			continue
		}
		if kept == nil {
			kept = map[Node]int{}
		}
		kept[x.node]++
	}
	return kept
}

// Review ends the nominations that stand no longer, and says on which nodes something was
// kept in vain.
func (s *Nominations) Review(now time.Time) (inVain []Node) {
	for _, x := range s.all() {
		stands, until := x.standing(now)
		if stands {
			s.change(x.pod.UID, func(x *nomination) { x.until = until })
			continue
		}
		s.Remove(x.pod.UID)
		inVain = append(inVain, x.node)
	}
	return inVain
}

// add notes a nomination in the place of another one of its pod.
func (s *Nominations) add(x nomination) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(x.pod.UID)
	s.addLocked(x)
}

// addLocked notes a nomination. Caller holds s.mu.
func (s *Nominations) addLocked(x nomination) {
	s.byPod[x.pod.UID] = x
	if s.byNode[x.node] == nil {
		s.byNode[x.node] = map[types.UID]bool{}
	}
	s.byNode[x.node][x.pod.UID] = true
}

// removeLocked forgets the nomination of a pod. Caller holds s.mu.
func (s *Nominations) removeLocked(pod types.UID) {
	x, has := s.byPod[pod]
	if !has {
		return
	}
	delete(s.byPod, pod)
	delete(s.byNode[x.node], pod)
	if len(s.byNode[x.node]) == 0 {
		delete(s.byNode, x.node)
	}
}

// change changes the nomination of a pod, if it has one still.
func (s *Nominations) change(pod types.UID, f func(*nomination)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x, has := s.byPod[pod]; has {
		f(&x)
		s.byPod[pod] = x
	}
}

// of finds the nomination of a pod.
func (s *Nominations) of(pod types.UID) (nomination, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, has := s.byPod[pod]
	return x, has
}

// others lists the nominations on a node of other pods than the given one.
func (s *Nominations) others(n Node, pod types.UID) (others []nomination) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid := range s.byNode[n] {
		if uid != pod {
			others = append(others, s.byPod[uid])
		}
	}
	return others
}

func (s *Nominations) all() []nomination {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]nomination, 0, len(s.byPod))
	for _, x := range s.byPod {
		all = append(all, x)
	}
	return all
}

// standing says whether an address is still on its way by a nomination, or kept for it.
// While victims stop, and while what they had cools, it does not age; it ends where the
// scheduler has not deleted a victim that it was granted.
func (x nomination) standing(now time.Time) (stands bool, until time.Time) {
	o := x.node.Foresee(nil)
	if !o.Read { // it is read anew
		return !o.Retired && now.Before(x.made.Add(readingTime)), x.until
	}
	stopping := false
	for _, uid := range x.victims {
		p, lives := x.node.Pods().Get(uid)
		if lives && !p.Ending && !now.Before(x.made.Add(evictionTime)) {
			return false, x.until
		}
		stopping = stopping || lives
	}
	if stopping || o.Now <= 0 && o.Cooling > 0 {
		return true, now.Add(slack)
	}
	return now.Before(x.until), x.until
}

// victims are those of some nominations.
func victims(all []nomination) (uids []types.UID) {
	for _, x := range all {
		uids = append(uids, x.victims...)
	}
	return slices.Clip(uids)
}
