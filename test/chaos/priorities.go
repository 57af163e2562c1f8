package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The classes of pods that may preempt, beside those that have no priority.
const (
	middle   = "chaos-middle"
	high     = "chaos-high"
	ofAgents = "system-node-critical"
)

// protected is the label of pods that a disruption budget protects.
const protected = "chaos-protected"

// buildPriorities makes the classes, and the budget. Without its controller a budget
// allows no disruption, so the scheduler takes those of others while there are some.
func (c *chaos) buildPriorities(ctx context.Context) error {
	for name, value := range map[string]int32{middle: 100, high: 1000} {
		class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value}
		if err := c.Kube.Create(ctx, class); err != nil {
			return err
		}
	}
	return c.Kube.Create(ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: protected},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{protected: "true"}}},
	})
}

// isAgentOf makes a pod one of a DaemonSet, as its controller does.
func isAgentOf(p *corev1.Pod, node string) {
	p.Spec.PriorityClassName = ofAgents
	p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
		}}},
	}}
}
