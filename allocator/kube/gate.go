package kube

import (
	"context"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"
)

// GatePods sends no write of a process that leads no longer: held says whether it does.
func GatePods(p Pods, held func() bool) Pods { return gatedPods{p, held} }

type gatedPods struct {
	Pods
	held func() bool
}

func (g gatedPods) Bind(ctx context.Context, b Binding) error {
	if !g.held() {
		return ErrNotLeading
	}
	return g.Pods.Bind(ctx, b)
}

func (g gatedPods) Annotate(ctx context.Context, pod types.NamespacedName, uid types.UID, address netip.Prefix) error {
	if !g.held() {
		return ErrNotLeading
	}
	return g.Pods.Annotate(ctx, pod, uid, address)
}

func (g gatedPods) Evict(ctx context.Context, pod types.NamespacedName, uid types.UID) error {
	if !g.held() {
		return ErrNotLeading
	}
	return g.Pods.Evict(ctx, pod, uid)
}

// GateNodes is GatePods for Node objects.
func GateNodes(n Nodes, held func() bool) Nodes { return gatedNodes{n, held} }

type gatedNodes struct {
	Nodes
	held func() bool
}

func (g gatedNodes) Advertise(ctx context.Context, node string, a Advert) error {
	if !g.held() {
		return ErrNotLeading
	}
	return g.Nodes.Advertise(ctx, node, a)
}
