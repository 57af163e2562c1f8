// Package evict ends pods whose address is another pod's.
package evict

import (
	"context"
	"errors"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/work"
)

// Eviction is a pod that has to go.
type Eviction struct {
	Pod types.NamespacedName
	UID types.UID
}

// Options are what an Evictor works with.
type Options struct {
	Pods kube.Pods
	Log  logr.Logger
}

// Evictor evicts pods. It keeps to disruption budgets: it tries again until they allow
// it.
type Evictor struct {
	o     Options
	queue *work.Queue[Eviction]
}

// New makes an Evictor.
func New(o Options) *Evictor { return &Evictor{o, work.NewQueue[Eviction]("evictions", nil)} }

// Add has a pod evicted.
func (e *Evictor) Add(x Eviction) { e.queue.Add(x) }

// Run evicts until ctx ends.
func (e *Evictor) Run(ctx context.Context) { e.queue.Run(ctx, e.evict) }

func (e *Evictor) evict(ctx context.Context, x Eviction) error {
	err := e.o.Pods.Evict(ctx, x.Pod, x.UID)
	switch {
	case errors.Is(err, kube.ErrNotLeading): // it is tried again: the lease may yet be renewed
		return err
	case err == nil, kube.Ended(ctx, e.o.Pods, err, x.Pod, x.UID):
		return nil
	}
	e.o.Log.Info("cannot evict a pod whose address is another pod's", "pod", x.Pod, "error", err.Error())
	return err
}
