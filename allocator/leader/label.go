package leader

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// LabelLeader is the label by which the extender's Service finds the leader.
const LabelLeader = "slotwise.dev/leader"

const (
	labelTimeout = 5 * time.Second
	// labelCheck is between two looks whether the label still stands.
	labelCheck = 10 * time.Second
)

// Label marks this process's own pod while it leads.
type Label struct {
	Kube kubernetes.Interface
	Pod  types.NamespacedName
	Log  logr.Logger
}

// Clear takes the label away: a container that was restarted in its pod still
// has that of its earlier life.
func (l Label) Clear(ctx context.Context) error { return l.set(ctx, nil) }

// Hold sets the label until ctx ends, which is when the lease is about to go. Where it does
// not stand any more it is set again: the API server may carry a Clear of an earlier life
// of the container out up to a minute after that has given it up. Nobody else would find
// the leader then.
func (l Label) Hold(ctx context.Context) error {
	lead := "true"
	if err := l.set(ctx, &lead); err != nil {
		return err
	}
	for pause(ctx, labelCheck) {
		if err := l.check(ctx); err != nil && ctx.Err() == nil {
			l.Log.Info("cannot see to the leader's label on this pod, which is tried again", "error", err.Error())
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), labelTimeout)
	defer cancel()
	if err := l.Clear(ctx); err != nil {
		l.Log.Info("the leader's label stays on this pod until the next leader serves or the pod ends", "error", err.Error())
	}
	return nil
}

// pause waits, and says whether ctx has not ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// check sets the label if it has gone. A look alone is no write that may be done late, when
// this pod leads no more.
func (l Label) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, labelTimeout)
	defer cancel()
	p, err := l.Kube.CoreV1().Pods(l.Pod.Namespace).Get(ctx, l.Pod.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read pod %s: %w", l.Pod, err)
	}
	lead := "true"
	if p.Labels[LabelLeader] == lead {
		return nil
	}
	return l.set(ctx, &lead)
}

func (l Label) set(ctx context.Context, value *string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]*string{LabelLeader: value}}})
	if err != nil {
		return err
	}
	if _, err := l.Kube.CoreV1().Pods(l.Pod.Namespace).Patch(ctx, l.Pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("label pod %s: %w", l.Pod, err)
	}
	return nil
}
