package scheduler

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	extenderv1 "k8s.io/kube-scheduler/extender/v1"
)

// minSample is from how many nodes on only a part of them is looked at, and how many that
// fit are at least looked for (schedule_one.go minFeasibleNodesToFind).
const minSample = 100

// diagnosis is why a pod fits nowhere, as far as was looked (framework.Diagnosis).
type diagnosis struct {
	nodes     int // how many there are
	status    map[string]status
	absent    string // why nodes were not looked at at all; empty: no reason
	rejectors plugins
}

func (d *diagnosis) set(node string, s status) {
	d.status[node] = s
	d.rejectors |= s.plugin
}

// of is what is known of a node: one that was not looked at is as one that evictions do
// not help (framework/types.go NewDefaultNodeToStatus).
func (d *diagnosis) of(node string) code {
	if s, there := d.status[node]; there {
		return s.code
	}
	return unresolvable
}

// String is what is written into the pod's condition (framework/types.go FitError.Error).
// A text that changes is an update of the pod.
func (d *diagnosis) String() string {
	count := map[string]int{}
	for _, s := range d.status {
		for _, reason := range s.reasons {
			count[reason]++
		}
	}
	if missing := d.nodes - len(d.status); missing > 0 && d.absent != "" {
		count[d.absent] += missing
	}
	reasons := make([]string, 0, len(count))
	for reason, n := range count {
		reasons = append(reasons, fmt.Sprintf("%d %s", n, reason))
	}
	sort.Strings(reasons)
	text := fmt.Sprintf("0/%d nodes are available:", d.nodes)
	if len(reasons) > 0 {
		text += " " + strings.Join(reasons, ", ") + "."
	}
	return text
}

// finder looks for nodes for pods. It is of the goroutine that runs attempts.
type finder struct {
	memory     *memory
	extension  extension
	percentage int
	minSample  int
	next       int // where the next search begins
}

// find looks for nodes that fit (schedule_one.go findNodesThatFitPod): first the one that
// the pod is nominated on, alone, then all or a sample of them. An error of the extender
// ends it, but where the nominated node was asked about alone.
func (f *finder) find(ctx context.Context, p *podInfo, nodes []*nodeInfo) ([]*nodeInfo, *diagnosis, error) {
	d := &diagnosis{nodes: len(nodes), status: map[string]status{}}
	among := nodes
	if p.names != nil {
		among = slices.DeleteFunc(slices.Clone(nodes), func(n *nodeInfo) bool { return !slices.Contains(p.names, n.name()) })
		d.rejectors |= nodeAffinity
		d.absent = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
	}
	if i := indexOf(nodes, p.pod.Status.NominatedNodeName); i >= 0 {
		one := f.passPlugins(p, nodes[i:i+1], d)
		if fit, err := f.passExtender(ctx, p, one, d); err == nil && len(fit) > 0 {
			return fit, d, nil
		}
	}
	fit := f.passPlugins(p, among, d)
	f.next = (f.next + len(fit) + len(d.status)) % len(nodes)
	passed, err := f.passExtender(ctx, p, fit, d)
	if err != nil {
		return nil, d, err
	}
	if len(passed) != len(fit) {
		d.rejectors |= extenderPlugin
	}
	return passed, d, nil
}

// passPlugins are the nodes that the plugins let through, beginning where the last search
// ended, and not many more than are wanted (findNodesThatPassFilters).
func (f *finder) passPlugins(p *podInfo, nodes []*nodeInfo, d *diagnosis) (fit []*nodeInfo) {
	wanted := f.sample(len(nodes))
	for i := range nodes {
		n := nodes[(f.next+i)%len(nodes)]
		if v := f.filterWithNominated(p, n); v.code != success {
			d.set(n.name(), v)
			continue
		}
		if len(fit) == wanted {
			break
		}
		fit = append(fit, n)
	}
	return fit
}

// sample is how many nodes that fit are looked for among so many
// (numFeasibleNodesToFind).
func (f *finder) sample(nodes int) int {
	if nodes < f.minSample {
		return nodes
	}
	percentage := f.percentage
	if percentage == 0 {
		percentage = max(50-nodes/125, 5)
	}
	return max(nodes*percentage/100, f.minSample)
}

// filterWithNominated asks the plugins twice, with and without the pods of the same or a
// higher priority that are nominated there: they count as if they were there already, and
// so do the pods that have to go for them (RunFilterPluginsWithNominatedPods).
func (f *finder) filterWithNominated(p *podInfo, n *nodeInfo) status {
	if added := f.rivals(p, n.name()); len(added) > 0 {
		if v := filter(p, n.with(added...)); v.code != success {
			return v
		}
	}
	return filter(p, n)
}

// rivals are the pods that a pod has to stand back behind on a node.
func (f *finder) rivals(p *podInfo, node string) []*podInfo {
	return slices.DeleteFunc(f.memory.nominated(node), func(other *podInfo) bool {
		return other.priority < p.priority || other.pod.UID == p.pod.UID
	})
}

// passExtender are the nodes that the extender lets through (findNodesThatPassExtenders).
func (f *finder) passExtender(ctx context.Context, p *podInfo, nodes []*nodeInfo, d *diagnosis) ([]*nodeInfo, error) {
	if len(nodes) == 0 || !f.extension.interested(p.pod) {
		return nodes, nil
	}
	answer, err := f.extension.Filter(ctx, p.pod, namesOf(nodes))
	if err != nil {
		return nil, err
	}
	for node, reason := range answer.FailedNodes {
		d.status[node] = status{code: unschedulable, reasons: []string{reason}}
	}
	for node, reason := range answer.FailedAndUnresolvableNodes {
		d.status[node] = status{code: unresolvable, reasons: []string{reason}}
	}
	return chosen(nodes, answer)
}

// chosen are the nodes that the extender names. A node that it was not asked about is an
// error (extender.go Filter).
func chosen(nodes []*nodeInfo, answer *extenderv1.ExtenderFilterResult) (passed []*nodeInfo, err error) {
	if answer.NodeNames == nil {
		return nil, nil
	}
	for _, name := range *answer.NodeNames {
		i := indexOf(nodes, name)
		if i < 0 {
			return nil, fmt.Errorf("extender claims a filtered node %q which is not found in the input node list", name)
		}
		passed = append(passed, nodes[i])
	}
	return passed, nil
}

func indexOf(nodes []*nodeInfo, name string) int {
	if name == "" {
		return -1
	}
	return slices.IndexFunc(nodes, func(n *nodeInfo) bool { return n.name() == name })
}

func namesOf(nodes []*nodeInfo) []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.name()
	}
	return names
}
