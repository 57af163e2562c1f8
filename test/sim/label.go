package sim

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/leader"
)

// labelTimeout is leader.Label's.
const labelTimeout = 5 * time.Second

// holdLabel marks the own pod until ctx ends, as leader.Label does.
func holdLabel(ctx context.Context, e Environment) {
	if setLabel(ctx, e, true) != nil {
		return
	}
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), labelTimeout)
	defer cancel()
	_ = setLabel(ctx, e, false) // else the next life takes it away
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
