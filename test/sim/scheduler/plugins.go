package scheduler

import (
	"math/bits"

	corev1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"

	"slotwise.dev/slotwise/test/sim/scheduler/fit"
)

// plugins is a set of the plugins that can reject a pod.
type plugins uint8

const (
	nodeUnschedulable plugins = 1 << iota
	taintToleration
	nodeAffinity
	nodeResourcesFit
	// extenderPlugin is what the scheduler takes an extender for that has turned
	// nodes away (schedule_one.go findNodesThatFitPod).
	extenderPlugin
	defaultPreemption
)

// each calls f for each plugin of the set, until one answers true, and says whether one did.
func (p plugins) each(f func(plugins) bool) bool {
	for p != 0 {
		one := plugins(1) << bits.TrailingZeros8(uint8(p))
		if f(one) {
			return true
		}
		p &^= one
	}
	return false
}

// code says what can be done about a node that has no place for a pod.
type code uint8

const (
	success       code = iota
	unschedulable      // to evict pods there may help
	unresolvable       // UnschedulableAndUnresolvable: it does not help
)

// status is what a plugin, or the extender, says of a node.
type status struct {
	code    code
	plugin  plugins // none: the extender's
	reasons []string
}

// filter asks the plugins about a node, in the order of the default profile, and answers
// what the first says that rejects it (apis/config/v1/default_plugins.go,
// framework/runtime/framework.go RunFilterPlugins).
func filter(p *podInfo, n *nodeInfo) status {
	if n.node.Spec.Unschedulable {
		return status{unresolvable, nodeUnschedulable, []string{"node(s) were unschedulable"}}
	}
	if taint, there := untolerated(p.pod, n.node); there {
		return status{unresolvable, taintToleration, []string{"node(s) had untolerated taint(s) {" + taint.Key + ": " + taint.Value + "}"}}
	}
	if !matches(p, n.node) {
		return status{unresolvable, nodeAffinity, []string{"node(s) didn't match Pod's node affinity/selector"}}
	}
	return fits(p, n)
}

// fits asks NodeResourcesFit. To evict pods helps only where the node as a whole has enough
// (fit.go Filter).
func fits(p *podInfo, n *nodeInfo) status {
	short := fit.Check(p.requests, len(n.pods), n.used, n.allocatable)
	if len(short) == 0 {
		return status{}
	}
	s := status{code: unschedulable, plugin: nodeResourcesFit}
	for _, x := range short {
		s.reasons = append(s.reasons, x.Reason())
		if x.Unresolvable {
			s.code = unresolvable
		}
	}
	return s
}

// untolerated is the first taint that keeps a pod off a node (TaintToleration).
func untolerated(p *corev1.Pod, n *corev1.Node) (corev1.Taint, bool) {
	if len(n.Spec.Taints) == 0 {
		return corev1.Taint{}, false
	}
	return corev1helpers.FindMatchingUntoleratedTaint(klog.Logger{}, n.Spec.Taints, p.Spec.Tolerations, func(t *corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
	}, false)
}

// matches says that a node is one of those that a pod selects (NodeAffinity).
func matches(p *podInfo, n *corev1.Node) bool {
	match, err := p.affinity.Match(n)
	return match && err == nil
}
