// Package kube is the API server as Slotwise uses it: a few requests, each with what it
// has to guarantee. Whoever changes something asks the lease first, in one place: see the
// Gate functions.
package kube

import (
	"context"
	"errors"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
)

// ErrNotLeading is why nothing is sent by a process that leads no longer.
var ErrNotLeading = errors.New("this replica of Slotwise no longer leads; the next leader takes over")

// Binding is a pod, and where it is bound.
type Binding struct {
	Pod     types.NamespacedName
	UID     types.UID // a pod of another UID under that name is not bound
	Node    string
	Address netip.Prefix // invalid: it is bound without one
}

// Advert is what a Node shows.
type Advert struct {
	Resource    corev1.ResourceName
	Total       int
	Annotations map[string]string
}

// Pods are pods as Slotwise uses them.
type Pods interface {
	// Get reads a pod from the API server itself. The error may be IsNotFound.
	Get(ctx context.Context, pod types.NamespacedName) (*corev1.Pod, error)
	// OnNode lists the pods that are bound to a Node, those that have finished too.
	OnNode(ctx context.Context, node string) ([]corev1.Pod, error)
	// Bind binds a pod and gives it its address, in one write. The error is IsConflict
	// where the pod is bound already or has another UID, IsNotFound where there is none;
	// Refused tells whether it may yet be carried out.
	Bind(ctx context.Context, b Binding) error
	// Annotate gives an address to a pod that is bound already. A pod of another UID under
	// that name is refused: see Ended.
	Annotate(ctx context.Context, pod types.NamespacedName, uid types.UID, address netip.Prefix) error
	// Evict ends a pod, as far as disruption budgets allow: the error is IsTooManyRequests
	// while they do not. A pod of another UID under that name is a conflict: see Ended.
	Evict(ctx context.Context, pod types.NamespacedName, uid types.UID) error
}

// Nodes are Node objects as Slotwise uses them.
type Nodes interface {
	// Advertise writes capacity, allocatable and annotations. The error is IsNotFound where
	// the Node has gone.
	Advertise(ctx context.Context, node string, a Advert) error
}

// NodeSlots are the objects of that kind.
type NodeSlots interface {
	// Read reads an object and its version. The error may be IsNotFound.
	Read(ctx context.Context, name string) (v1alpha1.NodeSlotsStatus, string, error)
	// Write writes every field over the version that is known, and answers with the new
	// one. Of "" it finds the version first, makes the object where there is none, and
	// gives it to its Node. The error may be IsConflict or IsNotFound.
	Write(ctx context.Context, name, version string, status v1alpha1.NodeSlotsStatus) (string, error)
	// Remove removes an object; that there is none is no error.
	Remove(ctx context.Context, name string) error
}

// Refused says that the API server has certainly not done what it was asked, and will
// not.
func Refused(err error) bool {
	return errors.Is(err, ErrNotLeading) || apierrors.IsNotFound(err) || apierrors.IsConflict(err) ||
		apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsTooManyRequests(err) ||
		utilnet.IsConnectionRefused(err)
}

// withDeadline tells the API server until when a write may be carried out: it gives up then
// by itself, so that what it has sat on does not land after the next leader has begun
// (k8s.io/apiserver v0.37: pkg/endpoints/filters/request_deadline.go). The time begins as
// the request gets there.
func withDeadline(ctx context.Context, r *rest.Request) *rest.Request {
	if end, bounded := ctx.Deadline(); bounded {
		r.Timeout(max(time.Until(end), time.Millisecond)) // 0 would be none
	}
	return r
}

// Ended says that the API server has refused something about a pod because the pod has
// ended. A conflict may also mean that another write was quicker. A patch with the UID of
// a pod that another one has replaced is invalid (apimachinery: pkg/api/validation,
// objectmeta.go ValidateObjectMetaAccessorUpdate).
func Ended(ctx context.Context, p Pods, refusal error, pod types.NamespacedName, uid types.UID) bool {
	if !apierrors.IsConflict(refusal) && !apierrors.IsInvalid(refusal) {
		return apierrors.IsNotFound(refusal)
	}
	now, err := p.Get(ctx, pod)
	return apierrors.IsNotFound(err) || err == nil && now.UID != uid
}
