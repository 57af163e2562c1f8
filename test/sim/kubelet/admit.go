package kubelet

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"slotwise.dev/slotwise/test/sim/scheduler/fit"
)

// verdict is why a pod is not admitted; the zero one is that it is.
type verdict struct{ reason, message string }

// load is what a pod has to fit beside: how many pods count, and what they ask for.
type load struct {
	pods int
	used fit.Amounts
}

func (l load) plus(requests fit.Amounts) load { return load{l.pods + 1, l.used.Plus(requests)} }

// admit says whether a pod fits on a node beside others (lifecycle/predicate.go Admit,
// generalFilter, pkg/scheduler/eventhandlers.go AdmissionCheck). fresh reads the Node anew,
// which the kubelet does where nothing but labels is in the way.
func admit(p *corev1.Pod, requests fit.Amounts, others load, node *corev1.Node, fresh func() *corev1.Node) verdict {
	if v := outOf(requests, others, node); v != (verdict{}) {
		return v
	}
	if !selects(p, node) {
		if node = fresh(); node == nil || !selects(p, node) {
			return verdict{"NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"}
		}
		if v := outOf(requests, others, node); v != (verdict{}) {
			return v
		}
	}
	if untolerated(p, node) {
		return verdict{"TaintToleration", "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"}
	}
	return verdict{}
}

// outOf says of what a node has too little. An extended resource that the node does not
// offer at all is not looked at (removeMissingExtendedResources): only one of which it has
// less than is asked for, be it zero, keeps a pod out.
func outOf(requests fit.Amounts, others load, node *corev1.Node) verdict {
	allocatable := fit.Allocatable(node)
	looked := slices.DeleteFunc(slices.Clone(requests), func(x fit.Amount) bool {
		_, offered := allocatable.Get(x.Resource)
		return !offered && fit.Extended(x.Resource)
	})
	if short := fit.Check(looked, others.pods, others.used, allocatable); len(short) > 0 {
		return verdict{"OutOf" + string(short[0].Resource), short[0].Message()}
	}
	return verdict{}
}

func selects(p *corev1.Pod, node *corev1.Node) bool {
	match, err := nodeaffinity.GetRequiredNodeAffinity(p).Match(node)
	return match && err == nil
}

// untolerated says that a taint keeps a pod out. Those that only keep it from being
// scheduled do not, nor do those of a Node that is not ready: each pod tolerates them for a
// while (plugin/pkg/admission/defaulttolerationseconds).
func untolerated(p *corev1.Pod, node *corev1.Node) bool {
	if len(node.Spec.Taints) == 0 {
		return false
	}
	_, there := corev1helpers.FindMatchingUntoleratedTaint(klog.Logger{}, node.Spec.Taints, p.Spec.Tolerations, func(t *corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoExecute && t.Key != corev1.TaintNodeNotReady && t.Key != corev1.TaintNodeUnreachable
	}, false)
	return there
}
