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
	"cmp"
	"slices"
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
	// overtakes says that nothing comes for it beyond what was promised to others, of a
	// lower priority, who wait for what comes of it.
	overtakes bool
}

// Nominations are all of them: one a pod. They are safe for concurrent use; no lock of a
// node is taken while theirs is held.
type Nominations struct {
	pending Pending
	book    *book
}

// New makes an empty one.
func New(p Pending) *Nominations { return &Nominations{pending: p, book: newBook()} }

// Remove forgets the nomination of a pod that needs it no longer.
func (s *Nominations) Remove(pod types.UID) { s.book.remove(pod) }

// Move hands the nominations of a node to the one that takes its place.
func (s *Nominations) Move(from, to Node) { s.book.move(from, to) }

// Kept counts, by node, the addresses that are kept for pods of a higher priority than
// the given one's. Nodes with none are not in it.
func (s *Nominations) Kept(pod capacity.Pod) (kept map[Node]int) { return s.book.kept(pod) }

// Review ends the nominations that stand no longer, or that nothing stands behind, and says
// on which nodes something was kept in vain since the last one.
func (s *Nominations) Review(now time.Time) (inVain []Node) {
	nodes := map[Node]bool{}
	for _, x := range s.book.all() {
		stands, until := x.standing(now)
		if stands {
			s.book.change(x.pod.UID, func(x *nomination) { x.until = until })
			nodes[x.node] = true
			continue
		}
		s.book.end(x)
	}
	for n := range nodes {
		for _, x := range s.broken(n) {
			s.book.end(x)
		}
	}
	return s.book.inVain()
}

// broken lists the nominations on a node for which nothing is left, because others have
// come to the node that take what was promised, as pods do that are bound past the
// extender. Such a pod needs another victim, and none has to go in its stead for others.
// One that is only overtaken by another nomination may wait: that pod may yet go elsewhere.
// While a victim of its own stops it waits, too, while EC2 fails to do what it may do again
// in a moment, and while pods are being bound that may yet come to nothing, so that what
// they took comes back.
func (s *Nominations) broken(n Node) (broken []nomination) {
	on := s.book.on(n)
	all := unbound(n, on)
	o := n.Foresee(victims(all))
	if !o.Read {
		return nil
	}
	_, binding := n.Pods().Load(n.Name())
	atBest := o.AtBest + binding - (len(on) - len(all))
	for _, x := range all {
		if atBest <= x.behind(all) && !x.stopping() {
			broken = append(broken, x)
		}
	}
	return broken
}

// behind counts the nominations that are served before this one. Those that overtake
// others do not count: nothing was to come for them.
func (x nomination) behind(all []nomination) (n int) {
	for _, y := range all {
		if !y.overtakes && y.compare(x) < 0 {
			n++
		}
	}
	return n
}

// compare puts first what is served first. Of two pods of one priority that is the one for
// which others had to go: where what the other one counted on does not come, as room in the
// subnet that EC2 does not have, it is that one that needs a victim, and none has to go twice.
func (x nomination) compare(y nomination) int {
	return cmp.Or(cmp.Compare(y.pod.Priority, x.pod.Priority), cmp.Compare(y.paid(), x.paid()), x.made.Compare(y.made), cmp.Compare(x.pod.UID, y.pod.UID))
}

// paid is 1 where others had to go for the pod.
func (x nomination) paid() int { return min(len(x.victims), 1) }

// others lists the nominations on a node of other pods than the given one.
func (s *Nominations) others(n Node, pod types.UID) []nomination {
	return slices.DeleteFunc(unbound(n, s.book.on(n)), func(x nomination) bool { return x.pod.UID == pod })
}

// unbound leaves out those whose pod is being bound on their node: it has its address, or
// waits for it, in the node's own books.
func unbound(n Node, all []nomination) []nomination {
	return slices.DeleteFunc(slices.Clone(all), func(x nomination) bool { return n.Pods().Attempt(x.pod.UID) != nil })
}

// standing says whether an address is still on its way by a nomination, or kept for it.
// While victims stop, and while what they had cools, it does not age; it ends where the
// scheduler has not deleted a victim that it was granted.
func (x nomination) standing(now time.Time) (stands bool, until time.Time) {
	o := x.node.Foresee(nil)
	if !o.Read { // it is read anew
		return !o.Retired && now.Before(x.made.Add(readingTime)), x.until
	}
	for _, uid := range x.victims {
		if p, lives := x.node.Pods().Get(uid); lives && !p.Ending && !now.Before(x.made.Add(evictionTime)) {
			return false, x.until
		}
	}
	if x.stopping() || o.Now <= 0 && o.Cooling > 0 {
		return true, now.Add(slack)
	}
	return now.Before(x.until), x.until
}

// stopping says that a victim still lives.
func (x nomination) stopping() bool {
	return slices.ContainsFunc(x.victims, func(uid types.UID) bool {
		_, lives := x.node.Pods().Get(uid)
		return lives
	})
}

// victims are those of some nominations.
func victims(all []nomination) (uids []types.UID) {
	for _, x := range all {
		uids = append(uids, x.victims...)
	}
	return slices.Clip(uids)
}
