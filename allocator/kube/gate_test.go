package kube

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// counted is pods and Nodes that count what gets to them.
type counted struct{ calls int }

func (c *counted) call() error { c.calls++; return errAPI }

func (c *counted) Get(context.Context, types.NamespacedName) (*corev1.Pod, error) {
	return nil, c.call()
}

func (c *counted) OnNode(context.Context, string) ([]corev1.Pod, error) { return nil, c.call() }

func (c *counted) Bind(context.Context, Binding) error { return c.call() }

func (c *counted) Annotate(context.Context, types.NamespacedName, types.UID, netip.Prefix) error {
	return c.call()
}

func (c *counted) Evict(context.Context, types.NamespacedName, types.UID) error { return c.call() }

func (c *counted) Advertise(context.Context, string, Advert) error { return c.call() }

// Reads pass the gate; a write passes it as long as the lease is held.
func TestGates(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(context.Context, Pods, Nodes) error
		reads bool
	}{
		"Get":       {do: func(ctx context.Context, p Pods, _ Nodes) error { _, err := p.Get(ctx, iis); return err }, reads: true},
		"OnNode":    {do: func(ctx context.Context, p Pods, _ Nodes) error { _, err := p.OnNode(ctx, "win-1"); return err }, reads: true},
		"Bind":      {do: func(ctx context.Context, p Pods, _ Nodes) error { return p.Bind(ctx, Binding{}) }},
		"Annotate":  {do: func(ctx context.Context, p Pods, _ Nodes) error { return p.Annotate(ctx, iis, "1", netip.Prefix{}) }},
		"Evict":     {do: func(ctx context.Context, p Pods, _ Nodes) error { return p.Evict(ctx, iis, "1") }},
		"Advertise": {do: func(ctx context.Context, _ Pods, n Nodes) error { return n.Advertise(ctx, "win-1", Advert{}) }},
	} {
		t.Run(name, func(t *testing.T) {
			under, holds := &counted{}, true
			held := func() bool { return holds }
			p, n := GatePods(under, held), GateNodes(under, held)
			if err := c.do(t.Context(), p, n); !errors.Is(err, errAPI) || under.calls != 1 {
				t.Errorf("while the lease is held: %d calls, the error is %v; want the one behind the gate", under.calls, err)
			}
			holds = false
			want, calls := ErrNotLeading, 1
			if c.reads {
				want, calls = errAPI, 2
			}
			if err := c.do(t.Context(), p, n); !errors.Is(err, want) || under.calls != calls {
				t.Errorf("once the lease is lost: %d calls, the error is %v; want %d calls, %v", under.calls, err, calls, want)
			}
		})
	}
}
