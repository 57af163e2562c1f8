package fit

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// Shortage is a resource of which a node has too little for a pod.
type Shortage struct {
	Resource  corev1.ResourceName
	Requested int64 // by the pod
	Used      int64 // by the pods that count
	Capacity  int64 // of the node
	// Unresolvable says that the pod asks for more than the whole node has, so that
	// it does not help to evict others.
	Unresolvable bool
}

// Reason is what the scheduler writes into the pod's condition.
func (s Shortage) Reason() string {
	if s.Resource == corev1.ResourcePods {
		return "Too many pods"
	}
	return "Insufficient " + string(s.Resource)
}

// Message is what the kubelet writes into the status of a pod that it rejects.
func (s Shortage) Message() string {
	return fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d", s.Resource, s.Requested, s.Used, s.Capacity)
}

// Check lists what a node has too little of for one more pod, beside the pods that count
// there and what they use. Nothing is missing where the list is empty. A resource that the
// node does not offer at all is one of which it has nothing.
func Check(request Amounts, pods int, used, allocatable Amounts) (short []Shortage) {
	if capacity := allocatable.Of(corev1.ResourcePods); int64(pods)+1 > capacity {
		short = append(short, Shortage{Resource: corev1.ResourcePods, Requested: 1, Used: int64(pods), Capacity: capacity})
	}
	for _, x := range request {
		if x.N <= 0 {
			continue
		}
		if capacity, taken := allocatable.Of(x.Resource), used.Of(x.Resource); x.N > capacity-taken {
			short = append(short, Shortage{x.Resource, x.N, taken, capacity, x.N > capacity})
		}
	}
	return short
}
