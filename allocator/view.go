package allocator

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/node"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/preemption"
)

// someNodes is how many nodes with something that cools are looked at for a pod.
const someNodes = 16

// View shows what every node can give to a pod now, to f. It is one snapshot of the
// nodes; nothing is computed for a node that is not asked about, and nothing is locked
// while f runs.
//
// Where the pod fits nowhere, and an address that cools would do, it is noted that this
// one is on its way to it: see preemption.
func (a *Allocator) View(pod capacity.Pod, f func(lookup func(node []byte) capacity.Room)) {
	v := a.view(pod)
	f(v.lookup)
	if !v.fits && len(v.coming) > 0 {
		a.nominations.Expect(pod, v.coming, time.Now())
	}
}

// Anywhere says that some node, whichever, has an address for the pod.
func (a *Allocator) Anywhere(pod capacity.Pod) bool {
	v := a.view(pod)
	for name := range v.nodes {
		if v.lookup([]byte(name)).Fits() {
			return true
		}
	}
	return false
}

func (a *Allocator) view(pod capacity.Pod) *view {
	v := &view{nodes: a.nodes.snapshot(), on: a.gate.On(), kept: a.nominations.Kept(pod)}
	if at := a.index.Latest(pod.UID); at != nil {
		v.binding = at.Home()
	}
	return v
}

// view is what one pod sees.
type view struct {
	nodes   map[string]*node.Node
	on      bool
	kept    map[preemption.Node]int // addresses kept for pods of a higher priority
	binding pods.Home               // where the pod is being bound already

	fits   bool              // somewhere
	coming []preemption.Node // some nodes on which something cools
}

func (v *view) lookup(name []byte) capacity.Room {
	n := v.nodes[string(name)]
	switch {
	case !v.on:
		return capacity.Room{Reason: capacity.Off}
	case n == nil:
		return capacity.Room{Reason: capacity.Unknown}
	case n.ID.OfferedByAnother(name):
		return capacity.Room{Reason: capacity.Duplicate}
	}
	c, available := n.Capacity()
	room := c.Room(available)
	comes := false
	switch {
	case room.Reason == capacity.Fits && v.kept != nil && c.Certain(room) <= v.kept[n]:
		room.Reason, comes = capacity.Kept, true
	case room.Reason != capacity.Fits && room.Reason != capacity.NotReady:
		comes = c.Comes(available)
	}
	if v.binding == pods.Home(n) && room.Reason != capacity.NotReady {
		room.Reason = capacity.Fits // its address there is its own
	}
	v.fits = v.fits || room.Reason == capacity.Fits
	if comes && !v.fits && len(v.coming) < someNodes {
		v.coming = append(v.coming, n)
	}
	return room
}

// Choose picks the node on which pods are to be evicted for another, and which of the
// victims. It answers false where that would bring the pod no address, or where one is
// on its way to it already.
func (a *Allocator) Choose(ctx context.Context, pod capacity.Pod, candidates []capacity.Candidate) (capacity.Candidate, bool) {
	var options []preemption.Option
	for _, c := range candidates {
		if n := a.nodes.find(c.Node); n != nil && n.Name() == c.Node && a.gate.On() {
			options = append(options, preemption.Option{Node: n, Candidate: c})
		}
	}
	return a.nominations.Choose(ctx, pod, options, time.Now())
}

// pending asks the API server whether a pod is there and not bound.
func pending(api kube.Pods) preemption.Pending {
	return func(ctx context.Context, pod capacity.Pod) (bool, error) {
		p, err := api.Get(ctx, pod.Key)
		switch {
		case apierrors.IsNotFound(err):
			return false, nil
		case err != nil:
			return false, err
		}
		return p.UID == pod.UID && p.Spec.NodeName == "" && !pods.Finished(p), nil
	}
}
