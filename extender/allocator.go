package extender

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
)

// Room is what one node can give a pod at the moment of a snapshot.
type Room struct {
	// Refusal says why the pod gets no address there; Fits when it can have one.
	Refusal Refusal
	// Free counts the addresses that can be given this moment.
	Free int32
	// Obtainable counts the addresses that calls to EC2 can still bring.
	Obtainable int32
	// InUse counts the addresses that pods hold or wait for.
	InUse int32
}

// Pod is the pod that needs an address.
type Pod struct {
	UID      types.UID
	Priority int32
}

// Candidate is a node on which pods can be evicted for another one.
type Candidate struct {
	Node       string
	Victims    []types.UID // at least one
	Violations int64       // of disruption budgets
}

// Rooms tells what nodes can give.
type Rooms interface {
	// View calls f with a lookup over one consistent snapshot, as it concerns
	// that pod. The lookup does not allocate or keep the name it is given, knows
	// every name (Unknown is an answer), and is valid only inside f.
	View(pod Pod, f func(lookup func(node []byte) Room))
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
	Choose(pod Pod, candidates []Candidate) (chosen Candidate, ok bool)
}
