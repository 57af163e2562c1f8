package scheduler

import (
	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/test/sim/scheduler/fit"
)

// What a pod that asks for nothing counts for when nodes are scored, and only there
// (pkg/scheduler/util/pod_resources.go).
const (
	defaultMilliCPU = 100
	defaultMemory   = 200 << 20
)

// maxScore is the best score that one plugin gives a node.
const maxScore = 100

// load is what nodes are scored by.
type load struct{ milliCPU, memory int64 }

func newLoad(requests fit.Amounts) load {
	l := load{milliCPU: defaultMilliCPU, memory: defaultMemory}
	if n, asked := requests.Get(corev1.ResourceCPU); asked {
		l.milliCPU = n
	}
	if n, asked := requests.Get(corev1.ResourceMemory); asked {
		l.memory = n
	}
	return l
}

func (l load) plus(m load) load  { return load{l.milliCPU + m.milliCPU, l.memory + m.memory} }
func (l load) minus(m load) load { return load{l.milliCPU - m.milliCPU, l.memory - m.memory} }

// leastAllocated scores a node for a pod, 0 to 100: the emptier the better
// (noderesources/least_allocated.go, the default strategy of NodeResourcesFit). The
// other plugins of the default profile score all nodes alike where nodes have neither
// taints nor images and pods neither preferences nor topology; BalancedAllocation is
// left out.
func leastAllocated(p *podInfo, n *nodeInfo) int64 {
	asked := n.scored.plus(p.scored)
	var sum, parts int64
	for _, x := range []struct{ asked, capacity int64 }{
		{asked.milliCPU, n.allocatable.Of(corev1.ResourceCPU)}, {asked.memory, n.allocatable.Of(corev1.ResourceMemory)},
	} {
		if x.capacity == 0 {
			continue
		}
		parts++
		if x.asked <= x.capacity {
			sum += (x.capacity - x.asked) * maxScore / x.capacity
		}
	}
	if parts == 0 {
		return 0
	}
	return sum / parts
}
