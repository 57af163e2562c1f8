package kube

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// counted is pods and Nodes that count what gets to them.
type counted struct {
	calls int
	ctx   context.Context // of the last one
}

func (c *counted) call(ctx context.Context) error {
	c.calls, c.ctx = c.calls+1, ctx
	return errAPI
}

func (c *counted) Get(ctx context.Context, _ types.NamespacedName) (*corev1.Pod, error) {
	return nil, c.call(ctx)
}

func (c *counted) OnNode(ctx context.Context, _ string) ([]corev1.Pod, error) {
	return nil, c.call(ctx)
}

func (c *counted) Bind(ctx context.Context, _ Binding) error { return c.call(ctx) }

func (c *counted) Annotate(ctx context.Context, _ types.NamespacedName, _ types.UID, _ netip.Prefix) error {
	return c.call(ctx)
}

func (c *counted) Evict(ctx context.Context, _ types.NamespacedName, _ types.UID) error {
	return c.call(ctx)
}

func (c *counted) Advertise(ctx context.Context, _ string, _ Advert) error { return c.call(ctx) }

// lease is one with so much left.
type lease struct{ left time.Duration }

func (l *lease) Held() bool { return l.left > 0 }

func (l *lease) Left() time.Duration { return l.left }

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
			under, l := &counted{}, &lease{left: time.Minute}
			p, n := GatePods(under, l), GateNodes(under, l)
			if err := c.do(t.Context(), p, n); !errors.Is(err, errAPI) || under.calls != 1 {
				t.Errorf("while the lease is held: %d calls, the error is %v; want the one behind the gate", under.calls, err)
			}
			if end, bounded := under.ctx.Deadline(); bounded == c.reads || bounded && time.Until(end) > l.left {
				t.Errorf("it may take until %s (%t); want no longer than the lease is left, and a read any time", end, bounded)
			}
			l.left = 0
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
