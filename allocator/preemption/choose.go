package preemption

import (
	"cmp"
	"context"
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
// is none where evictions bring the pod no address, where one is on its way to it
// already, or where one comes without them.
//
// It asks the API server only where a pod would have to go, and whether those before it
// are pending still.
func (s *Nominations) Choose(ctx context.Context, pod capacity.Pod, options []Option, now time.Time) (chosen capacity.Candidate, ok bool) {
	s.book.succeed(pod, nodesOf(options))
	s.dropBroken(options)
	if s.expected(pod, now) {
		return capacity.Candidate{}, false
	}
	best, ok := s.best(pod, options)
	if len(best.Victims) > 0 && len(s.verify(ctx, s.others(best.Node, pod.UID), now)) > 0 {
		best, ok = s.best(pod, options)
	}
	switch {
	case !ok:
		return capacity.Candidate{}, false
	case len(best.Victims) == 0:
		s.expect(pod, best.Node, now)
		return capacity.Candidate{}, false
	}
	s.nominate(nomination{pod: pod, node: best.Node, victims: best.Victims, made: now, asked: now, until: now.Add(evictionTime)})
	return best.Candidate, true
}

func nodesOf(options []Option) []Node {
	nodes := make([]Node, len(options))
	for i, o := range options {
		nodes[i] = o.Node
	}
	return nodes
}

// dropBroken ends the nominations that nothing stands behind any more, so that nobody has
// to go in their place as well.
func (s *Nominations) dropBroken(options []Option) {
	for _, o := range options {
		for _, x := range s.broken(o.Node) {
			s.book.end(x)
		}
	}
}

// best is the option to take, with those of the victims that have to go: none, where an
// address comes without them.
func (s *Nominations) best(pod capacity.Pod, options []Option) (best Option, ok bool) {
	var least cost
	for _, o := range options {
		f := s.forecast(o.Node, pod)
		if !f.comes(o.Victims) {
			continue
		}
		if !f.shows() {
			o.Victims = f.needed(o.Victims)
		}
		if len(o.Victims) == 0 {
			return o, true
		}
		if x := costOf(o); !ok || x.less(least) {
			least, best, ok = x, o, true
		}
	}
	return best, ok
}

// expect notes the nomination of a pod for which nobody has to go.
func (s *Nominations) expect(pod capacity.Pod, n Node, now time.Time) {
	s.nominate(nomination{pod: pod, node: n, made: now, asked: now, until: now.Add(ledger.Cooldown + slack)})
}

// nominate notes a nomination, and whether it overtakes others.
func (s *Nominations) nominate(x nomination) {
	f := s.forecast(x.node, x.pod)
	o := x.node.Foresee(slices.Concat(f.victims, x.victims))
	x.overtakes = o.Remaining <= f.promised
	s.book.add(x)
}

// Expect notes that an address which cools is on its way to a pod that fits nowhere
// else, on the first of these nodes where there is one that nobody is before it for.
func (s *Nominations) Expect(pod capacity.Pod, nodes []Node, now time.Time) {
	s.book.succeed(pod, nodes)
	if s.expected(pod, now) {
		return
	}
	for _, n := range nodes {
		if s.forecast(n, pod).comes(nil) {
			s.expect(pod, n, now)
			return
		}
	}
}

// expected says that an address is on its way to a pod already.
func (s *Nominations) expected(pod capacity.Pod, now time.Time) bool {
	x, nominated := s.book.of(pod.UID)
	if !nominated {
		return false
	}
	stands, _ := x.standing(now)
	return stands
}

// forecast is what a pod can expect of a node, with what is on its way to others there.
type forecast struct {
	node     Node
	before   int         // pods with a nomination that this one must not overtake
	promised int         // pods with a nomination for which something comes
	victims  []types.UID // of all nominations of others
}

func (s *Nominations) forecast(n Node, pod capacity.Pod) forecast {
	others := s.others(n, pod.UID)
	f := forecast{node: n, victims: victims(others)}
	for _, x := range others {
		if x.pod.Priority >= pod.Priority {
			f.before++
		}
		if !x.overtakes {
			f.promised++
		}
	}
	return f
}

// comes says that the node will have an address for the pod once some more pods have
// ended and all that cools has cooled. Those before it have no more than what comes without
// these: where that is too little for all of them, each evicts for itself.
func (f forecast) comes(ended []types.UID) bool {
	o := f.node.Foresee(slices.Concat(f.victims, ended))
	without := f.node.Foresee(f.victims)
	return o.Read && o.Remaining > min(f.before, max(0, without.Remaining))
}

// shows says that kube-scheduler sees an address for the pod: if it evicts pods all the
// same, then for something else that they have. It counts the pods that stop, and those
// with a nomination, against the total of the Node.
func (f forecast) shows() bool { return f.node.Foresee(nil).Shown > f.before }

// needed are those of the victims that have to end for the pod to get an address. The
// scheduler may want more, or some where none are needed: it counts twice what is on its
// way to others (a pod with a nomination beside its victim that stops), and the total of
// the Node may lag, or have been set to nothing by a kubelet that began anew. The most
// important are spared.
func (f forecast) needed(wanted []types.UID) []types.UID {
	group := f.node.Pods()
	needed := slices.Clone(wanted)
	slices.SortFunc(needed, func(x, y types.UID) int {
		p, _ := group.Get(x)
		q, _ := group.Get(y)
		return cmp.Or(cmp.Compare(p.Priority, q.Priority), q.Created.Compare(p.Created), cmp.Compare(y, x))
	})
	for i := range slices.Backward(needed) {
		if fewer := slices.Delete(slices.Clone(needed), i, i+1); f.comes(fewer) {
			needed = fewer
		}
	}
	return needed
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
