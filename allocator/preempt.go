package allocator

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/extender"
)

// Choose picks the node on which pods are to be evicted for another, by the rules that
// kube-scheduler itself chooses by (Kubernetes 1.37: framework/preemption/preemption.go,
// pickOneNodeForPreemption): fewest budgets violated, least important victims, fewest
// victims, latest to start. It is one, so that it is known whose addresses come. There
// is none where evictions bring the pod no address, or one is on its way to it already.
func (a *Allocator) Choose(pod extender.Pod, candidates []extender.Candidate) (chosen extender.Candidate, ok bool) {
	now := time.Now()
	if a.expected(pod, now) {
		return extender.Candidate{}, false
	}
	best := cost{}
	for _, c := range candidates {
		n := a.node(c.Node)
		if n == nil || n.name() != c.Node || !a.running() {
			continue
		}
		if c.Victims = a.needed(n, c.Victims, pod); !a.comes(n, c.Victims, pod) {
			continue
		}
		if x := n.cost(c); !ok || x.less(best) {
			best, chosen, ok = x, c, true
		}
	}
	if ok {
		a.nominations.add(nomination{
			pod: pod.UID, priority: pod.Priority, node: a.node(chosen.Node), victims: chosen.Victims,
			made: now, until: now.Add(evictionTime),
		})
	}
	return chosen, ok
}

// needed are the victims without those that kube-scheduler adds because it counts pods
// twice: beside each pod that is nominated on a node also that one's victim, as long as
// it stops. The most important are spared, and the pod gets the same room once all that
// stop have stopped.
func (a *Allocator) needed(n *node, victims []types.UID, pod extender.Pod) []types.UID {
	var others []types.UID
	for _, x := range a.nominations.on(n) {
		if x.pod != pod.UID {
			others = append(others, x.victims...)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	stopping := 0
	for _, uid := range others {
		if _, lives := n.pods[uid]; lives && !slices.Contains(victims, uid) {
			stopping++
		}
	}
	spared := slices.DeleteFunc(slices.Clone(victims), func(uid types.UID) bool { return n.pods[uid].ending })
	slices.SortFunc(spared, func(x, y types.UID) int {
		p, q := n.pods[x], n.pods[y]
		return cmp.Or(cmp.Compare(q.priority, p.priority), p.created.Compare(q.created), strings.Compare(string(x), string(y)))
	})
	spared = spared[:max(0, min(stopping, len(spared), len(victims)-1))]
	return slices.DeleteFunc(slices.Clone(victims), func(uid types.UID) bool { return slices.Contains(spared, uid) })
}

// comes says that a node will have an address for a pod once the victims have ended and
// all that cools has cooled, beyond what is on its way to others that the pod must not
// overtake.
func (a *Allocator) comes(n *node, victims []types.UID, pod extender.Pod) bool {
	victims, others := slices.Clone(victims), 0
	for _, x := range a.nominations.on(n) {
		if x.pod == pod.UID {
			continue
		}
		victims = append(victims, x.victims...)
		if x.priority >= pod.Priority {
			others++
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.known { // right after a switch in mode observe it is not ready, and evictions bring addresses all the same
		return false
	}
	c, returned := n.ledger.After(victims)
	blocks := min(n.own.count+n.budget.available(c.Mode)+returned, n.limit(time.Now()))
	return c.Remaining(blocks) > others
}

// expected says that an address is on its way to a pod already.
func (a *Allocator) expected(pod extender.Pod, now time.Time) bool {
	x, nominated := a.nominations.of(pod.UID)
	if !nominated {
		return false
	}
	stands, _ := x.standing(now)
	return stands
}

// expect notes that an address which cools is on its way to a pod that fits nowhere
// else, on the first of these nodes where there is one that nobody is before it for.
func (a *Allocator) expect(pod extender.Pod, nodes []*node) {
	now := time.Now()
	if a.expected(pod, now) {
		return
	}
	for _, n := range nodes {
		if a.comes(n, nil, pod) {
			a.nominations.add(nomination{
				pod: pod.UID, priority: pod.Priority, node: n, made: now, until: now.Add(ledger.Cooldown + nominationSlack),
			})
			return
		}
	}
}

// cost is what evictions on one node cost, the gravest first.
type cost struct {
	violations int64 // of disruption budgets
	highest    int32 // priority of a victim
	sum        int64 // of all priorities, each counted from the least there is
	victims    int
	started    time.Time // the earliest of the most important victims
	node       string
}

func (n *node) cost(c extender.Candidate) cost {
	n.mu.Lock()
	defer n.mu.Unlock()
	x := cost{violations: c.Violations, highest: math.MinInt32, victims: len(c.Victims), node: c.Node}
	for _, uid := range c.Victims {
		p := n.pods[uid] // one on the host's network is not known here
		x.sum += int64(p.priority) - math.MinInt32
		switch {
		case p.priority > x.highest:
			x.highest, x.started = p.priority, p.created
		case p.priority == x.highest && p.created.Before(x.started):
			x.started = p.created
		}
	}
	return x
}

func (x cost) less(y cost) bool {
	return cmp.Or(
		cmp.Compare(x.violations, y.violations), cmp.Compare(x.highest, y.highest), cmp.Compare(x.sum, y.sum),
		cmp.Compare(x.victims, y.victims), y.started.Compare(x.started), strings.Compare(x.node, y.node),
	) < 0
}
