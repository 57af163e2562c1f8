package extender

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/capacity"
)

// Rooms tells what nodes can give.
type Rooms interface {
	// View calls f with a lookup over one consistent snapshot, as it concerns
	// that pod. The lookup does not allocate or keep the name it is given, knows
	// every name (Unknown is an answer), and is valid only inside f.
	View(pod capacity.Pod, f func(lookup func(node []byte) capacity.Room))
	// Anywhere says that some node, whichever, has an address for the pod.
	Anywhere(pod capacity.Pod) bool
}

// Binder binds pods.
type Binder interface {
	// Bind takes an address on the node for the pod and posts the Binding that
	// carries it. It returns when the pod is bound, or with the reason why not,
	// and gives up when ctx ends.
	Bind(ctx context.Context, pod types.NamespacedName, uid types.UID, node string) error
}

// Evictions foresees what evicting pods would bring, and knows what is on its way.
type Evictions interface {
	// Choose picks the candidate on which pods are to be evicted for the pod, and which
	// of its victims. It answers false where that would bring the pod no address, or
	// where one is on its way to it already.
	Choose(ctx context.Context, pod capacity.Pod, candidates []capacity.Candidate) (chosen capacity.Candidate, ok bool)
}
