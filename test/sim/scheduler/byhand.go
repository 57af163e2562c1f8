package scheduler

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// byHand is the scheduler of pods that none schedules.
const byHand = "by-hand"

// ByHand has a new pod be on a node from the beginning, as whoever sets spec.nodeName:
// no scheduler looks at it, and no room is looked for.
func ByHand(p *corev1.Pod, node string) {
	p.Spec.SchedulerName, p.Spec.NodeName = byHand, node
}

// Daemon makes a pod one of a DaemonSet, which a scheduler is to bind to one node
// (pkg/controller/daemon/util/daemonset_util.go ReplaceDaemonSetPodNodeNameNodeAffinity).
func Daemon(p *corev1.Pod, node string) {
	p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
		}}},
	}}
}
