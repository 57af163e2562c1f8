package scheduler

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"slotwise.dev/slotwise/test/sim/scheduler/fit"
)

// podInfo is a version of a pod with what the scheduler has worked out of it. It is never
// changed.
type podInfo struct {
	pod      *corev1.Pod
	requests fit.Amounts
	priority int32
	scored   load

	// Of pods that are not bound:
	affinity nodeaffinity.RequiredNodeAffinity
	names    []string // of the only nodes that it may go to; nil: it may go to any
}

// newPodInfo works out what the scheduler needs of a pod. What cannot change is taken
// from an earlier version of it, where there is one.
func newPodInfo(p *corev1.Pod, before *podInfo) *podInfo {
	if before != nil && before.pod.UID == p.UID {
		same := *before
		same.pod = p
		return &same
	}
	info := &podInfo{pod: p, requests: fit.Requests(p), priority: priority(p)}
	info.scored = newLoad(info.requests)
	if p.Spec.NodeName == "" {
		info.affinity, info.names = nodeaffinity.GetRequiredNodeAffinity(p), nodeNames(p)
	}
	return info
}

// priority of a pod (component-helpers/scheduling/corev1, PodPriority).
func priority(p *corev1.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// nodeNames are the nodes that a pod names in its required affinity, as those of a
// DaemonSet do; nil where a term names none (nodeaffinity/node_affinity.go PreFilter).
func nodeNames(p *corev1.Pod) (names []string) {
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		var ofTerm []string
		for _, r := range term.MatchFields {
			if r.Key != metav1.ObjectNameField || r.Operator != corev1.NodeSelectorOpIn {
				continue
			}
			if ofTerm == nil {
				ofTerm = r.Values
				continue
			}
			ofTerm = slices.DeleteFunc(slices.Clone(ofTerm), func(name string) bool { return !slices.Contains(r.Values, name) })
		}
		if ofTerm == nil {
			return nil
		}
		names = append(names, ofTerm...)
	}
	return names
}

// startTime is when a pod has started; now for one that has not
// (util/utils.go GetPodStartTime).
func (p *podInfo) startTime(now time.Time) time.Time {
	if p.pod.Status.StartTime == nil {
		return now
	}
	return p.pod.Status.StartTime.Time
}

// nodeInfo is a node with the pods that count there, assumed ones among them. It is never
// changed, so a snapshot is a list of them.
type nodeInfo struct {
	node        *corev1.Node // nil: pods are known to be there, but no Node is
	allocatable fit.Amounts
	pods        []*podInfo
	used        fit.Amounts
	scored      load
}

func (n *nodeInfo) name() string { return n.node.Name }

// withNode is the node with another version of its Node.
func (n *nodeInfo) withNode(node *corev1.Node) *nodeInfo {
	next := *n
	next.node, next.allocatable = node, nil
	if node != nil {
		next.allocatable = fit.Allocatable(node)
	}
	return &next
}

// with is the node with more pods.
func (n *nodeInfo) with(pods ...*podInfo) *nodeInfo {
	next := *n
	next.pods = append(slices.Clip(n.pods), pods...)
	next.used = slices.Clone(n.used)
	for _, p := range pods {
		next.used = next.used.Plus(p.requests)
		next.scored = next.scored.plus(p.scored)
	}
	return &next
}

// without is the node without some of its pods.
func (n *nodeInfo) without(pods ...*podInfo) *nodeInfo {
	next := *n
	next.pods = make([]*podInfo, 0, len(n.pods))
	next.used = slices.Clone(n.used)
	for _, p := range n.pods {
		if !slices.ContainsFunc(pods, func(other *podInfo) bool { return other.pod.UID == p.pod.UID }) {
			next.pods = append(next.pods, p)
			continue
		}
		next.used = next.used.Minus(p.requests)
		next.scored = next.scored.minus(p.scored)
	}
	return &next
}

// swapped is the node with another version of one of its pods.
func (n *nodeInfo) swapped(p *podInfo) *nodeInfo {
	next := *n
	next.pods = slices.Clone(n.pods)
	for i, other := range next.pods {
		if other.pod.UID == p.pod.UID {
			next.pods[i] = p
		}
	}
	return &next
}
