package webhook

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"slotwise.dev/slotwise/allocator/vpc"
)

// AddResource makes the pod ask for exactly one address: one in the limits and
// requests of the first container, and none anywhere else, whatever was asked
// for before. The API server demands equal limits and requests of an extended
// resource. Applied again, it changes nothing. A pod without containers, which
// the API server refuses anyway, is left alone.
func AddResource(pod *corev1.Pod) {
	spec := &pod.Spec
	if len(spec.Containers) == 0 {
		return
	}
	for i := range spec.Containers {
		removeResource(&spec.Containers[i].Resources)
	}
	for i := range spec.InitContainers { // sidecars are among them
		removeResource(&spec.InitContainers[i].Resources)
	}
	if spec.Resources != nil {
		removeResource(spec.Resources)
	}
	delete(spec.Overhead, vpc.Resource)

	first := &spec.Containers[0].Resources
	first.Limits = withOne(first.Limits)
	first.Requests = withOne(first.Requests)
}

func removeResource(r *corev1.ResourceRequirements) {
	delete(r.Limits, vpc.Resource)
	delete(r.Requests, vpc.Resource)
}

func withOne(list corev1.ResourceList) corev1.ResourceList {
	if list == nil {
		list = corev1.ResourceList{}
	}
	list[vpc.Resource] = *resource.NewQuantity(1, resource.DecimalSI)
	return list
}
