package apiserver

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Lease is the Lease by which replicas agree on a leader.
var Lease = types.NamespacedName{Namespace: "slotwise-system", Name: "slotwise"}

// Lock is client-go's own lock on Lease. A request takes as long as timeout at the most;
// 0: as long as its context has.
func (c *Client) Lock(identity string, timeout time.Duration) resourcelock.Interface {
	return &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: Lease.Namespace, Name: Lease.Name},
		Client:     leases{client: c, timeout: timeout},
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
	}
}

// leases is what LeaseLock uses of client-go's client of leases.
type leases struct {
	coordination.LeaseInterface // of which nothing else is called
	client                      *Client
	timeout                     time.Duration
}

// Leases is that of LeasesGetter. There is one namespace.
func (l leases) Leases(string) coordination.LeaseInterface { return l }

func (l leases) remote() Remote[*coordinationv1.Lease] { return l.client.server.Leases().Via(l.client) }

func (l leases) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, l.timeout)
}

// Get reads the lease. LeaseLock writes to it, so it gets a copy; as it does below.
func (l leases) Get(ctx context.Context, _ string, _ metav1.GetOptions) (*coordinationv1.Lease, error) {
	ctx, cancel := l.limited(ctx)
	defer cancel()
	lease, err := l.remote().Get(ctx, Lease)
	return lease.DeepCopy(), err
}

// Create makes the lease.
func (l leases) Create(ctx context.Context, lease *coordinationv1.Lease, _ metav1.CreateOptions) (*coordinationv1.Lease, error) {
	ctx, cancel := l.limited(ctx)
	defer cancel()
	made, err := l.remote().Create(ctx, lease)
	return made.DeepCopy(), err
}

// Update writes the lease over the version that was read.
func (l leases) Update(ctx context.Context, lease *coordinationv1.Lease, _ metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	ctx, cancel := l.limited(ctx)
	defer cancel()
	written, err := l.remote().Update(ctx, lease)
	return written.DeepCopy(), err
}
