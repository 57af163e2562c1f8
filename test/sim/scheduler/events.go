package scheduler

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	"slotwise.dev/slotwise/test/sim/scheduler/fit"
)

// kind is what can have happened that may help a pod which was rejected
// (framework/events.go).
type kind uint8

const (
	nodeAdd kind = iota
	nodeDelete
	nodeAllocatable
	nodeLabel
	nodeTaint
	nodeCondition
	nodeAnnotation
	podAdd    // a pod is bound
	podUpdate // of a bound pod
	podDelete // of a bound pod; also: an assumed one is forgotten, a nomination ends
	// podOwnUpdate is an update of the waiting pod itself (TargetPod).
	podOwnUpdate
	podToleration
	timeout  // the pod has waited for too long
	activate // the pod is to be tried again, whatever there is against it
)

// event is one of them, with the objects that it is about.
type event struct {
	kind             kind
	oldNode, newNode *corev1.Node
	pod              *corev1.Pod
}

// nodeEvents are what an update of a Node brings: none where nothing changed that could
// matter, as with a heartbeat (framework/events.go NodeSchedulingPropertiesChange).
func nodeEvents(before, after *corev1.Node) (all []event) {
	add := func(k kind, happened bool) {
		if happened {
			all = append(all, event{kind: k, oldNode: before, newNode: after})
		}
	}
	add(nodeTaint, before.Spec.Unschedulable && !after.Spec.Unschedulable)
	add(nodeAllocatable, !sameResources(before.Status.Allocatable, after.Status.Allocatable))
	add(nodeLabel, !maps.Equal(before.Labels, after.Labels))
	add(nodeTaint, !equality.Semantic.DeepEqual(before.Spec.Taints, after.Spec.Taints))
	add(nodeCondition, !maps.Equal(conditions(before), conditions(after)))
	add(nodeAnnotation, !maps.Equal(before.Annotations, after.Annotations))
	return all
}

func sameResources(a, b corev1.ResourceList) bool {
	return maps.EqualFunc(a, b, func(x, y resource.Quantity) bool { return x.Cmp(y) == 0 })
}

func conditions(n *corev1.Node) map[corev1.NodeConditionType]corev1.ConditionStatus {
	all := make(map[corev1.NodeConditionType]corev1.ConditionStatus, len(n.Status.Conditions))
	for i := range n.Status.Conditions {
		all[n.Status.Conditions[i].Type] = n.Status.Conditions[i].Status
	}
	return all
}

// ownEvent is what an update of a waiting pod is to itself
// (framework/events.go PodSchedulingPropertiesChange).
func ownEvent(before, after *corev1.Pod) event {
	if len(before.Spec.Tolerations) != len(after.Spec.Tolerations) {
		return event{kind: podToleration, pod: after}
	}
	return event{kind: podOwnUpdate, pod: after}
}

// helps says whether an event is reason to try a pod again: whether one of the plugins
// that rejected it hopes so (backend/queue/scheduling_queue.go isPodWorthRequeuing). A pod
// that none has rejected, which came back because of an error, is always to be tried.
func (q *queued) helps(e event) bool {
	switch {
	case q.rejectors == 0:
		return true
	case e.kind == timeout:
		return true
	case e.kind == activate:
		return e.pod.UID == q.info.pod.UID
	}
	return q.rejectors.each(func(one plugins) bool { return hint(one, q.info, e) })
}

// hint is a plugin's opinion of an event (its EventsToRegister and its QueueingHintFn).
func hint(plugin plugins, p *podInfo, e event) bool {
	switch plugin {
	case extenderPlugin:
		// An extender has no say in it: any event of any kind will do
		// (framework/runtime/framework.go defaultEnqueueExtension).
		return true
	case nodeResourcesFit:
		return fitHint(p, e)
	case nodeAffinity:
		return (e.kind == nodeAdd || e.kind == nodeLabel) && matches(p, e.newNode) && (e.oldNode == nil || !matches(p, e.oldNode))
	case taintToleration:
		return taintHint(p, e)
	case nodeUnschedulable:
		return (e.kind == nodeAdd || e.kind == nodeTaint) && !e.newNode.Spec.Unschedulable && (e.oldNode == nil || e.oldNode.Spec.Unschedulable)
	default: // DefaultPreemption: what the others hope for decides
		return false
	}
}

// fitHint is that of NodeResourcesFit. A Node that is changed helps only where the pod
// would fit on the empty node, and only where something grew that the pod asks for
// (fit.go isSchedulableAfterNodeChange). Each pod that goes from a node, or gives up its
// nomination, helps (isSchedulableAfterAssignedPodDelete).
func fitHint(p *podInfo, e event) bool {
	switch e.kind {
	case podDelete:
		return e.pod.Spec.NodeName != "" || e.pod.Status.NominatedNodeName != ""
	case nodeAdd, nodeAllocatable:
		after := fit.Allocatable(e.newNode)
		if len(fit.Check(p.requests, 0, nil, after)) > 0 {
			return false
		}
		return e.oldNode == nil || grew(p.requests, fit.Allocatable(e.oldNode), after)
	default:
		return false
	}
}

// grew says whether a node has more of what a pod asks for, or takes more pods
// (fit.go haveAnyRequestedResourcesIncreased).
func grew(requests, before, after fit.Amounts) bool {
	if after.Of(corev1.ResourcePods) > before.Of(corev1.ResourcePods) {
		return true
	}
	for _, x := range requests {
		if x.N > 0 && after.Of(x.Resource) > before.Of(x.Resource) {
			return true
		}
	}
	return false
}

func taintHint(p *podInfo, e event) bool {
	switch e.kind {
	case podToleration:
		return true
	case nodeAdd, nodeTaint:
		if _, still := untolerated(p.pod, e.newNode); still {
			return false
		}
		if e.oldNode == nil {
			return true
		}
		_, was := untolerated(p.pod, e.oldNode)
		return was
	default:
		return false
	}
}
