package allocator

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/binding"
	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/node"
	"slotwise.dev/slotwise/allocator/pods"
)

// Bind takes an address on a node and binds the pod with it, in one write. Where the
// address must come from EC2 first, it waits for it until ctx ends. A pod that is not
// bound in the end keeps no address.
func (a *Allocator) Bind(ctx context.Context, pod types.NamespacedName, uid types.UID, name string) error {
	a.binds.Add(1)
	defer a.binds.Done()
	if err := a.bind(ctx, pod, uid, name); err != nil {
		return fmt.Errorf("bind %s to %s: %w", pod, name, err)
	}
	a.nominations.Remove(uid)
	return nil
}

func (a *Allocator) bind(ctx context.Context, pod types.NamespacedName, uid types.UID, name string) error {
	n := a.nodes.find(name)
	switch {
	case n == nil:
		return &capacity.Error{Reason: capacity.Unknown}
	case n.Name() != name:
		return &capacity.Error{Reason: capacity.Duplicate}
	}
	return a.binder.Bind(ctx, pod, uid, n.Binds)
}

// bindsOf is the side of a home that binds pods: all homes are nodes.
func bindsOf(home pods.Home) binding.Node { return home.(*node.Node).Binds }
