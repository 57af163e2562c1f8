package main

import (
	"context"
	"maps"
	"runtime"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/kubelet/lifecycle"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// admit asks the kubelet's own code whether a pod fits on a node beside others
// (lifecycle/predicate.go Admit): by the Node's allocatable, max-pods included, by
// its labels and its taints. That code takes the system that it was compiled for
// for the node's.
func admit(ctx context.Context, p *corev1.Pod, others []*corev1.Pod, view *nodeView) lifecycle.PodAdmitResult {
	node := func(_ context.Context, cached bool) (*corev1.Node, error) {
		known := view.at(time.Now())
		if !cached { // where labels do not match (kubelet_nodecache.go getNodeSync)
			known = view.refresh()
		}
		return forAdmission(known), nil
	}
	handler := lifecycle.NewPredicateAdmitHandler(node, lifecycle.NewAdmissionFailureHandlerStub(), noPlugins)
	return handler.Admit(ctx, &lifecycle.PodAdmitAttributes{
		Pod: asHere(p), OtherPods: others, Operation: lifecycle.AddOperation,
	})
}

// noPlugins stands for the device manager, which leaves resources alone that no
// device plugin has registered (cm/devicemanager/manager.go UpdatePluginResources).
func noPlugins(*framework.NodeInfo, *lifecycle.PodAdmitAttributes) error { return nil }

// forAdmission copies a Node, with the system of this machine for its own. Admit does
// the same, in place, to a label that is not so (rejectPodAdmissionBasedOnOSSelector).
func forAdmission(n *corev1.Node) *corev1.Node {
	n = new(*n)
	labels := map[string]string{}
	maps.Copy(labels, n.Labels)
	labels[corev1.LabelOSStable] = runtime.GOOS
	n.Labels = labels
	return n
}

// asHere copies a pod with Windows and the system of this machine changed for each
// other, wherever it says on which it runs.
func asHere(p *corev1.Pod) *corev1.Pod {
	p = p.DeepCopy()
	for _, labels := range []map[string]string{p.Labels, p.Spec.NodeSelector} {
		if os, asked := labels[corev1.LabelOSStable]; asked {
			labels[corev1.LabelOSStable] = otherOS(os)
		}
	}
	if p.Spec.OS != nil {
		p.Spec.OS.Name = corev1.OSName(otherOS(string(p.Spec.OS.Name)))
	}
	if a := p.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			changeOS(term.MatchExpressions)
		}
	}
	return p
}

func changeOS(expressions []corev1.NodeSelectorRequirement) {
	for _, e := range expressions {
		if e.Key != corev1.LabelOSStable {
			continue
		}
		for i, os := range e.Values {
			e.Values[i] = otherOS(os)
		}
	}
}

func otherOS(os string) string {
	switch os {
	case string(corev1.Windows):
		return runtime.GOOS
	case runtime.GOOS:
		return string(corev1.Windows)
	default:
		return os
	}
}
