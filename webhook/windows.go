package webhook

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/vpc"
)

// osLabels are the node labels that name the operating system. Either proves it.
var osLabels = []string{vpc.LabelOS, vpc.LabelOSBeta}

// NeedsAddress reports whether the pod takes an address on a Windows node's
// ENI: a Windows pod with a network of its own. A HostProcess pod shares the
// host's network; the API server refuses one that does not say hostNetwork too,
// but does so after the webhook, so both are looked at here.
func NeedsAddress(pod *corev1.Pod) bool {
	return IsWindows(pod) && !pod.Spec.HostNetwork && !isHostProcess(pod)
}

// IsWindows reports whether the pod says, in one of the ways that bind the
// scheduler or the kubelet, that it runs on Windows: spec.os, a node selector,
// or required node affinity.
//
// matchConditions in manifests/webhook/webhook.yaml say the same in CEL, more
// loosely: whatever is Windows here must be sent there. The policy of
// manifests/components/admission-policy says exactly the same, as TestPolicyIsWebhook
// shows.
func IsWindows(pod *corev1.Pod) bool {
	spec := &pod.Spec
	return spec.OS != nil && spec.OS.Name == corev1.Windows ||
		slices.ContainsFunc(osLabels, func(label string) bool { return spec.NodeSelector[label] == vpc.Windows }) ||
		affinityAdmitsOnlyWindows(spec.Affinity)
}

// affinityAdmitsOnlyWindows reports whether required node affinity keeps the
// pod off every node that is not Windows. Terms are alternatives, so each has to
// prove it; a term that can match no node is no alternative and is passed over.
// Where no term can match, nothing is proven.
func affinityAdmitsOnlyWindows(affinity *corev1.Affinity) bool {
	if affinity == nil || affinity.NodeAffinity == nil {
		return false
	}
	required := affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil {
		return false
	}
	proven := false
	for i := range required.NodeSelectorTerms {
		switch admittedOS(&required.NodeSelectorTerms[i]) {
		case noOS:
		case onlyWindows:
			proven = true
		case otherOS:
			return false
		}
	}
	return proven
}

// admitted says which nodes a node selector term can match.
type admitted int

const (
	noOS        admitted = iota // no node at all
	onlyWindows                 // none but Windows nodes
	otherOS                     // others, too
)

// admittedOS follows the scheduler: a term without requirements matches no
// node, and all requirements of a term hold together. matchFields know nothing
// but the node's name.
func admittedOS(term *corev1.NodeSelectorTerm) admitted {
	if len(term.MatchExpressions) == 0 && len(term.MatchFields) == 0 {
		return noOS
	}
	verdict := otherOS
	for _, label := range osLabels {
		values, bounded := admittedValues(term.MatchExpressions, label)
		switch {
		case bounded && len(values) == 0:
			return noOS
		case bounded && !slices.ContainsFunc(values, func(os string) bool { return os != vpc.Windows }):
			verdict = onlyWindows
		}
	}
	return verdict
}

// admittedValues returns the values of a label that the requirements leave, if
// they bound them: what all of the In lists share, without what a NotIn list
// names. A NotIn alone bounds nothing, as it leaves every value nobody thought
// of, and nodes without the label.
func admittedValues(requirements []corev1.NodeSelectorRequirement, label string) (values []string, bounded bool) {
	var excluded []string
	for _, r := range requirements {
		switch {
		case r.Key != label:
		case r.Operator == corev1.NodeSelectorOpNotIn:
			excluded = append(excluded, r.Values...)
		case r.Operator == corev1.NodeSelectorOpIn && !bounded:
			values, bounded = slices.Clone(r.Values), true
		case r.Operator == corev1.NodeSelectorOpIn:
			values = slices.DeleteFunc(values, func(v string) bool { return !slices.Contains(r.Values, v) })
		}
	}
	values = slices.DeleteFunc(values, func(v string) bool { return slices.Contains(excluded, v) })
	return values, bounded
}

func isHostProcess(pod *corev1.Pod) bool {
	sc := pod.Spec.SecurityContext
	return sc != nil && sc.WindowsOptions != nil &&
		sc.WindowsOptions.HostProcess != nil && *sc.WindowsOptions.HostProcess
}
