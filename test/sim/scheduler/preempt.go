package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// minCandidates is at how many nodes evictions are tried at least; of more nodes it is a
// tenth (apis/config/v1/defaults.go, DefaultPreemptionArgs).
const minCandidates = 100

// candidate is a node, with pods that would go from there.
type candidate struct {
	node       string
	victims    []*podInfo // the most important first
	violations int        // of disruption budgets
}

// preemptor chooses pods that are to go for others. It is of the goroutine that runs
// attempts.
type preemptor struct {
	finder    *finder
	executor  *executor
	protected func(*corev1.Pod) bool
	random    *rand.Rand
}

// preempt looks for pods that are to go for another one, and has them deleted
// (framework/preemption/preemption.go Preempt). It returns what becomes of the pod's
// nomination, and a note for its condition.
func (r *preemptor) preempt(ctx context.Context, p *podInfo, nodes []*nodeInfo, d *diagnosis) (*nomination, string) {
	p = r.finder.memory.latest(p)
	if p == nil {
		return nil, "pod not found"
	}
	if ok, why := eligible(p, nodes, d); !ok {
		return nil, why
	}
	candidates, tried := r.dryRun(p, nodes, d)
	if len(candidates) == 0 {
		if tried.failed != "" {
			return nil, tried.failed
		}
		return none, tried.String()
	}
	candidates, err := r.askExtender(ctx, p, nodes, candidates)
	if err != nil {
		return nil, err.Error()
	}
	if len(candidates) == 0 {
		return nil, "no candidate node for preemption"
	}
	best := pick(candidates, time.Now())
	r.executor.evict(ctx, p, best)
	return &nomination{best.node}, fmt.Sprintf("found a potential placement for pod on node %s, preempting %d victims", best.node, len(best.victims))
}

// eligible says whether a pod may have others go. One that has had its turn waits as long
// as a victim of the scheduler stops on its nominated node, but not where that node has
// become one that evictions do not help (default_preemption.go PodEligibleToPreemptOthers).
func eligible(p *podInfo, nodes []*nodeInfo, d *diagnosis) (ok bool, why string) {
	if policy := p.pod.Spec.PreemptionPolicy; policy != nil && *policy == corev1.PreemptNever {
		return false, "not eligible due to preemptionPolicy=Never."
	}
	nominated := p.pod.Status.NominatedNodeName
	if nominated == "" || d.of(nominated) == unresolvable {
		return true, ""
	}
	if i := indexOf(nodes, nominated); i >= 0 && slices.ContainsFunc(nodes[i].pods, func(v *podInfo) bool {
		return v.priority < p.priority && stopsForPreemption(v.pod)
	}) {
		return false, "not eligible due to a terminating pod on the nominated node."
	}
	return true, ""
}

// stopsForPreemption is preemption/util.go PodTerminatingByPreemption.
func stopsForPreemption(p *corev1.Pod) bool {
	if p.DeletionTimestamp == nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.DisruptionTarget {
			return c.Status == corev1.ConditionTrue && c.Reason == corev1.PodReasonPreemptionByScheduler
		}
	}
	return false
}

// tries is why evictions do not help.
type tries struct {
	diagnosis
	failed string // an error, which keeps the nomination as it is
}

// dryRun tries which pods would have to go on each node where that may help, beginning at
// a random one, until there are enough candidates (preemption.go DryRunPreemption).
func (r *preemptor) dryRun(p *podInfo, nodes []*nodeInfo, d *diagnosis) (all []candidate, t tries) {
	t.diagnosis = diagnosis{nodes: len(nodes), status: map[string]status{}, absent: "Preemption is not helpful for scheduling"}
	potential := slices.DeleteFunc(slices.Clone(nodes), func(n *nodeInfo) bool { return d.of(n.name()) != unschedulable })
	if len(potential) == 0 {
		return nil, t
	}
	var clean, violating []candidate
	wanted := min(max(len(potential)/10, minCandidates), len(potential))
	for i, from := 0, r.random.IntN(len(potential)); i < len(potential); i++ {
		n := potential[(from+i)%len(potential)]
		c, v := r.victims(p, n)
		switch {
		case v.code != success:
			t.status[n.name()] = v
		case len(c.victims) == 0:
			t.failed = fmt.Sprintf("expected at least one victim pod on node %q", n.name())
		case c.violations == 0:
			clean = append(clean, c)
		default:
			violating = append(violating, c)
		}
		if len(clean) > 0 && len(clean)+len(violating) >= wanted {
			break
		}
	}
	return append(clean, violating...), t
}

// victims are the fewest and least important pods of a node that have to go for another
// one: first all go that are less important, and then as many come back as fit beside it,
// the most important first, and those before whose budget would be violated
// (default_preemption.go SelectVictimsOnNode). Those that stop already are among them.
func (r *preemptor) victims(p *podInfo, n *nodeInfo) (candidate, status) {
	c := candidate{node: n.name()}
	less := slices.DeleteFunc(slices.Clone(n.pods), func(v *podInfo) bool { return v.priority >= p.priority })
	if len(less) == 0 {
		return c, status{code: unresolvable, reasons: []string{"No preemption victims found for incoming pod"}}
	}
	n = n.without(less...)
	if v := r.finder.filterWithNominated(p, n); v.code != success {
		return c, v
	}
	now := time.Now()
	slices.SortStableFunc(less, func(a, b *podInfo) int { return importance(a, b, now) })
	var violating, others []*podInfo
	for _, v := range less {
		if r.protected(v.pod) {
			violating = append(violating, v)
		} else {
			others = append(others, v)
		}
	}
	reprieve := func(v *podInfo) (stays bool) {
		back := n.with(v)
		if r.finder.filterWithNominated(p, back).code != success {
			c.victims = append(c.victims, v)
			return false
		}
		n = back
		return true
	}
	for _, v := range violating {
		if !reprieve(v) {
			c.violations++
		}
	}
	for _, v := range others {
		reprieve(v)
	}
	slices.SortStableFunc(c.victims, func(a, b *podInfo) int { return importance(a, b, now) })
	return c, status{}
}

// importance sorts the more important pods first: by priority, then those that run longer
// (preemption/util.go MoreImportantVictim).
func importance(a, b *podInfo, now time.Time) int {
	return cmp.Or(cmp.Compare(b.priority, a.priority), a.startTime(now).Compare(b.startTime(now)))
}
