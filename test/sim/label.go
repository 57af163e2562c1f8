package sim

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/leader"
)

// labelTimeout and labelCheck are leader.Label's.
const (
	labelTimeout = 5 * time.Second
	labelCheck   = 10 * time.Second
)

// holdLabel marks the own pod until ctx ends, as leader.Label does.
func holdLabel(ctx context.Context, e Environment) {
	if setLabel(ctx, e, true) != nil {
		return
	}
	ticks := time.NewTicker(labelCheck)
	defer ticks.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticks.C:
			checkLabel(ctx, e)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), labelTimeout)
	defer cancel()
	_ = setLabel(ctx, e, false) // else the next life takes it away
}

// checkLabel marks the own pod again where the mark has gone.
func checkLabel(ctx context.Context, e Environment) {
	ctx, cancel := context.WithTimeout(ctx, labelTimeout)
	defer cancel()
	if p, err := e.Pods.Get(ctx, e.Pod); err == nil && p.Labels[leader.LabelLeader] == "" {
		_ = setLabel(ctx, e, true) // else the next look finds it missing
	}
}

func setLabel(ctx context.Context, e Environment, leads bool) error {
	_, err := e.Pods.Change(ctx, e.Pod, "", func(p *corev1.Pod) error {
		if !leads {
			delete(p.Labels, leader.LabelLeader)
			return nil
		}
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		p.Labels[leader.LabelLeader] = "true"
		return nil
	})
	return err
}
