package preemption

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/ledger"
)

// Option is a node on which pods can be evicted for another one.
type Option struct {
	Node Node
	capacity.Candidate
}

// Choose picks the node on which pods are to be evicted for another, by the rules that
// kube-scheduler itself chooses by (Kubernetes 1.37: framework/preemption/preemption.go,
// pickOneNodeForPreemption): fewest budgets violated, least important victims, fewest
// victims, latest to start. It is one, so that it is known whose addresses come. There
// is none where evictions bring the pod no address, or one is on its way to it already.
func (s *Nominations) Choose(pod capacity.Pod, options []Option, now time.Time) (chosen capacity.Candidate, ok bool) {
	if s.expected(pod, now) {
		return capacity.Candidate{}, false
	}
	var best cost
	var on Node
	for _, o := range options {
		o.Victims = s.needed(o.Node, o.Victims, pod)
		if !s.comes(o.Node, o.Victims, pod) {
			continue
		}
		if x := costOf(o); !ok || x.less(best) {
			best, chosen, on, ok = x, o.Candidate, o.Node, true
		}
	}
	if ok {
		s.add(nomination{pod: pod, node: on, victims: chosen.Victims, made: now, until: now.Add(evictionTime)})
	}
	return chosen, ok
}

// Expect notes that an address which cools is on its way to a pod that fits nowhere
// else, on the first of these nodes where there is one that nobody is before it for.
func (s *Nominations) Expect(pod capacity.Pod, nodes []Node, now time.Time) {
	if s.expected(pod, now) {
		return
	}
	for _, n := range nodes {
		if s.comes(n, nil, pod) {
			s.add(nomination{pod: pod, node: n, made: now, until: now.Add(ledger.Cooldown + slack)})
			return
		}
	}
}

// expected says that an address is on its way to a pod already.
func (s *Nominations) expected(pod capacity.Pod, now time.Time) bool {
	x, nominated := s.of(pod.UID)
	if !nominated {
		return false
	}
	stands, _ := x.standing(now)
	return stands
}

// needed are the victims without those that kube-scheduler adds because it counts pods
// twice: beside each pod that is nominated on a node also that one's victim, as long as
// it stops. The most important are spared, and the pod gets the same room once all that
// stop have stopped.
func (s *Nominations) needed(n Node, wanted []types.UID, pod capacity.Pod) []types.UID {
	group := n.Pods()
	stopping := 0
	for _, uid := range victims(s.others(n, pod.UID)) {
		if group.Has(uid) && !slices.Contains(wanted, uid) {
			stopping++
		}
	}
	spared := slices.DeleteFunc(slices.Clone(wanted), func(uid types.UID) bool {
		p, _ := group.Get(uid)
		return p.Ending
	})
	slices.SortFunc(spared, func(x, y types.UID) int {
		p, _ := group.Get(x)
		q, _ := group.Get(y)
		return cmp.Or(cmp.Compare(q.Priority, p.Priority), p.Created.Compare(q.Created), cmp.Compare(x, y))
	})
	spared = spared[:max(0, min(stopping, len(spared), len(wanted)-1))]
	return slices.DeleteFunc(slices.Clone(wanted), func(uid types.UID) bool { return slices.Contains(spared, uid) })
}

// comes says that a node will have an address for a pod once the victims have ended and
// all that cools has cooled, beyond what is on its way to others that the pod must not
// overtake.
func (s *Nominations) comes(n Node, ended []types.UID, pod capacity.Pod) bool {
	others := s.others(n, pod.UID)
	before := 0
	for _, x := range others {
		if x.pod.Priority >= pod.Priority {
			before++
		}
	}
	o := n.Foresee(append(slices.Clone(ended), victims(others)...))
	return o.Read && o.Remaining > before
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

func costOf(o Option) cost {
	x := cost{violations: o.Violations, highest: math.MinInt32, victims: len(o.Victims), node: o.Candidate.Node}
	for _, uid := range o.Victims {
		p, _ := o.Node.Pods().Get(uid) // one on the host's network is not known here
		x.sum += int64(p.Priority) - math.MinInt32
		switch {
		case p.Priority > x.highest:
			x.highest, x.started = p.Priority, p.Created
		case p.Priority == x.highest && p.Created.Before(x.started):
			x.started = p.Created
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
