package kube

import (
	"context"
	"encoding/json"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
)

// NewNodeSlots uses NodeSlots objects through a client, which must not read them from a
// cache. held is asked before each request that changes something.
func NewNodeSlots(c client.Client, held func() bool) NodeSlots { return nodeSlots{c, held} }

type nodeSlots struct {
	client client.Client
	held   func() bool
}

func (s nodeSlots) Read(ctx context.Context, name string) (v1alpha1.NodeSlotsStatus, string, error) {
	var o v1alpha1.NodeSlots
	err := s.client.Get(ctx, client.ObjectKey{Name: name}, &o)
	return o.Status, o.ResourceVersion, err
}

// Write: a leader that lost its lease between the look at it and the write is refused by
// the API server, as the next leader has written since.
func (s nodeSlots) Write(ctx context.Context, name, version string, status v1alpha1.NodeSlotsStatus) (string, error) {
	if version == "" {
		found, err := s.find(ctx, name)
		if err != nil {
			return "", err
		}
		version = found
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": version},
		"status":   status,
	})
	if err != nil {
		return "", err
	}
	if !s.held() {
		return "", ErrNotLeading
	}
	o := &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := s.client.Status().Patch(ctx, o, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return "", err
	}
	return o.ResourceVersion, nil
}

func (s nodeSlots) Remove(ctx context.Context, name string) error {
	if !s.held() {
		return ErrNotLeading
	}
	return client.IgnoreNotFound(s.client.Delete(ctx, &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: name}}))
}

// find reads the version of an object, which it makes where there is none.
func (s nodeSlots) find(ctx context.Context, name string) (version string, err error) {
	var o v1alpha1.NodeSlots
	err = s.client.Get(ctx, client.ObjectKey{Name: name}, &o)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return "", err
	}
	owner, err := s.owner(ctx, name)
	switch {
	case err != nil:
		return "", err
	case missing:
		return s.create(ctx, name, owner)
	case reflect.DeepEqual(owner, o.OwnerReferences):
		return o.ResourceVersion, nil
	}
	return s.own(ctx, &o, owner)
}

// create makes an object, owned by its Node so that it goes with it.
func (s nodeSlots) create(ctx context.Context, name string, owner []metav1.OwnerReference) (version string, err error) {
	if !s.held() {
		return "", ErrNotLeading
	}
	o := &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owner}}
	if err := s.client.Create(ctx, o); err != nil {
		return "", err
	}
	return o.ResourceVersion, nil
}

// own gives an object back to its Node, where it is nobody's, or that of a Node of the
// same name from before.
func (s nodeSlots) own(ctx context.Context, o *v1alpha1.NodeSlots, owner []metav1.OwnerReference) (version string, err error) {
	if !s.held() {
		return "", ErrNotLeading
	}
	before := o.DeepCopy()
	o.OwnerReferences = owner
	if err := s.client.Patch(ctx, o, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return "", err
	}
	return o.ResourceVersion, nil
}

// owner is what says that the object is the Node's.
func (s nodeSlots) owner(ctx context.Context, name string) ([]metav1.OwnerReference, error) {
	var node corev1.Node
	if err := s.client.Get(ctx, client.ObjectKey{Name: name}, &node); err != nil {
		return nil, err
	}
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}, nil
}
