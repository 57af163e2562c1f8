package webhook

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// AddResource makes the pod ask for exactly one of an extended resource: one in the
// limits and requests of the first container, and none anywhere else, whatever was
// asked for before. The API server demands equal limits and requests of it. Applied
// again, it changes nothing. A pod without containers, which the API server refuses
// anyway, is left alone.
func AddResource(pod *corev1.Pod, name corev1.ResourceName) {
	spec := &pod.Spec
	if len(spec.Containers) == 0 {
		return
	}
	for i := range spec.Containers {
		removeResource(&spec.Containers[i].Resources, name)
	}
	for i := range spec.InitContainers { // sidecars are among them
		removeResource(&spec.InitContainers[i].Resources, name)
	}
	if spec.Resources != nil {
		removeResource(spec.Resources, name)
	}
	delete(spec.Overhead, name)

	first := &spec.Containers[0].Resources
	first.Limits = withOne(first.Limits, name)
	first.Requests = withOne(first.Requests, name)
}

func removeResource(r *corev1.ResourceRequirements, name corev1.ResourceName) {
	delete(r.Limits, name)
	delete(r.Requests, name)
}

func withOne(list corev1.ResourceList, name corev1.ResourceName) corev1.ResourceList {
	if list == nil {
		list = corev1.ResourceList{}
	}
	list[name] = *resource.NewQuantity(1, resource.DecimalSI)
	return list
}
