package kube

import (
	"context"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Lease is that of the process, as whoever changes something asks it.
type Lease interface {
	// Held says that nobody else can lead at this moment.
	Held() bool
	// Left is for how long that is sure.
	Left() time.Duration
}

// GatePods sends no write of a process that leads no longer, and gives none longer than it
// leads for sure: see Lease and withDeadline.
func GatePods(p Pods, l Lease) Pods { return gatedPods{p, gate{l}} }

type gatedPods struct {
	Pods
	gate
}

func (g gatedPods) Bind(ctx context.Context, b Binding) error {
	return g.write(ctx, func(ctx context.Context) error { return g.Pods.Bind(ctx, b) })
}

func (g gatedPods) Annotate(ctx context.Context, pod types.NamespacedName, uid types.UID, address netip.Prefix) error {
	return g.write(ctx, func(ctx context.Context) error { return g.Pods.Annotate(ctx, pod, uid, address) })
}

func (g gatedPods) Evict(ctx context.Context, pod types.NamespacedName, uid types.UID) error {
	return g.write(ctx, func(ctx context.Context) error { return g.Pods.Evict(ctx, pod, uid) })
}

// GateNodes is GatePods for Node objects.
func GateNodes(n Nodes, l Lease) Nodes { return gatedNodes{n, gate{l}} }

type gatedNodes struct {
	Nodes
	gate
}

func (g gatedNodes) Advertise(ctx context.Context, node string, a Advert) error {
	return g.write(ctx, func(ctx context.Context) error { return g.Nodes.Advertise(ctx, node, a) })
}

// gate is where writes ask the lease.
type gate struct{ lease Lease }

func (g gate) write(ctx context.Context, do func(ctx context.Context) error) error {
	if !g.lease.Held() {
		return ErrNotLeading
	}
	ctx, cancel := context.WithTimeout(ctx, g.lease.Left())
	defer cancel()
	return do(ctx)
}
