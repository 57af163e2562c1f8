package apiserver

import (
	"context"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/kube"
)

// NodeSlotsPort implements kube.NodeSlots, with the requests of allocator/kube in their
// order.
type NodeSlotsPort struct {
	client *Client
	held   func() bool
}

func (p NodeSlotsPort) remote() Remote[*v1alpha1.NodeSlots] {
	return p.client.server.NodeSlots().Via(p.client)
}

// Read reads an object and its version.
func (p NodeSlotsPort) Read(ctx context.Context, name string) (v1alpha1.NodeSlotsStatus, string, error) {
	o, err := p.remote().Get(ctx, types.NamespacedName{Name: name})
	if err != nil {
		return v1alpha1.NodeSlotsStatus{}, "", err
	}
	return *o.Status.DeepCopy(), o.ResourceVersion, nil
}

// Write writes the status over the version that is known.
func (p NodeSlotsPort) Write(ctx context.Context, name, version string, status v1alpha1.NodeSlotsStatus) (string, error) {
	if version == "" {
		found, err := p.find(ctx, name)
		if err != nil {
			return "", err
		}
		version = found
	}
	if !p.held() {
		return "", kube.ErrNotLeading
	}
	sent := status.DeepCopy()
	return versionOf(p.remote().Change(ctx, types.NamespacedName{Name: name}, "", func(o *v1alpha1.NodeSlots) error {
		if o.ResourceVersion == version && reflect.DeepEqual(o.Status, *sent) {
			return ErrUnchanged
		}
		o.ResourceVersion, o.Status = version, *sent.DeepCopy()
		return nil
	}))
}

// Remove deletes an object.
func (p NodeSlotsPort) Remove(ctx context.Context, name string) error {
	if !p.held() {
		return kube.ErrNotLeading
	}
	return client.IgnoreNotFound(p.remote().Delete(ctx, types.NamespacedName{Name: name}, Deletion{}))
}

// find reads the version of an object, which it makes where there is none, and gives it
// to its Node.
func (p NodeSlotsPort) find(ctx context.Context, name string) (string, error) {
	key := types.NamespacedName{Name: name}
	o, err := p.remote().Get(ctx, key)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return "", err
	}
	node, err := p.client.server.Nodes().Via(p.client).Get(ctx, key)
	if err != nil {
		return "", err
	}
	owner := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}
	if !missing && reflect.DeepEqual(owner, o.OwnerReferences) {
		return o.ResourceVersion, nil
	}
	if !p.held() {
		return "", kube.ErrNotLeading
	}
	if missing {
		return versionOf(p.remote().Create(ctx, &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owner}}))
	}
	return versionOf(p.remote().Change(ctx, key, "", func(x *v1alpha1.NodeSlots) error {
		x.ResourceVersion, x.OwnerReferences = o.ResourceVersion, owner
		return nil
	}))
}

// versionOf is the version of what a write answered.
func versionOf(o *v1alpha1.NodeSlots, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return o.ResourceVersion, nil
}
