package apiserver

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
)

// CacheOptions say what a Cache follows, and whom it tells. The functions are called in
// goroutines of the cache, one call at a time and kind; each may be nil.
type CacheOptions struct {
	Match       func(*corev1.Node) bool // the Nodes that are followed; nil: all
	Nodes       func(old, now *corev1.Node)
	ConfigMaps  func(old, now *corev1.ConfigMap)
	Deployments func(old, now *appsv1.Deployment)
	NodeSlots   func(old, now *v1alpha1.NodeSlots)
}

// Cache is the manager's cache: informers for Nodes, ConfigMaps, Deployments and
// NodeSlots. It is a client.Reader for these, which answers from what it has.
type Cache struct {
	nodes       *Informer[*corev1.Node]
	configMaps  *Informer[*corev1.ConfigMap]
	deployments *Informer[*appsv1.Deployment]
	nodeSlots   *Informer[*v1alpha1.NodeSlots]
}

var _ client.Reader = (*Cache)(nil)

// Cache starts a cache that lives until ctx ends.
func (c *Client) Cache(ctx context.Context, o CacheOptions) *Cache {
	s := c.server
	return &Cache{
		nodes:       s.Nodes().Via(c).Informer(ctx, o.Match, o.Nodes),
		configMaps:  s.ConfigMaps().Via(c).Informer(ctx, nil, o.ConfigMaps),
		deployments: s.Deployments().Via(c).Informer(ctx, nil, o.Deployments),
		nodeSlots:   s.NodeSlots().Via(c).Informer(ctx, nil, o.NodeSlots),
	}
}

// Sync waits until the cache has its first lists; false: ctx ended before.
func (c *Cache) Sync(ctx context.Context) bool {
	for _, synced := range []<-chan struct{}{c.nodes.Synced(), c.configMaps.Synced(), c.deployments.Synced(), c.nodeSlots.Synced()} {
		select {
		case <-synced:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// Get is that of client.Reader, for a Node, ConfigMap, Deployment or NodeSlots, or for
// the metadata of NodeSlots.
func (c *Cache) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	switch into := into.(type) {
	case *corev1.Node:
		return copied(c.nodes, key, func(n *corev1.Node) { n.DeepCopyInto(into) })
	case *corev1.ConfigMap:
		return copied(c.configMaps, key, func(m *corev1.ConfigMap) { m.DeepCopyInto(into) })
	case *appsv1.Deployment:
		return copied(c.deployments, key, func(d *appsv1.Deployment) { d.DeepCopyInto(into) })
	case *v1alpha1.NodeSlots:
		return copied(c.nodeSlots, key, func(n *v1alpha1.NodeSlots) { n.DeepCopyInto(into) })
	case *metav1.PartialObjectMetadata:
		return copied(c.nodeSlots, key, func(n *v1alpha1.NodeSlots) { n.ObjectMeta.DeepCopyInto(&into.ObjectMeta) })
	}
	return fmt.Errorf("the cache has no %T", into)
}

func copied[T Object](i *Informer[T], key types.NamespacedName, copyOf func(T)) error {
	o, ok := i.Get(key)
	if !ok {
		return apierrors.NewNotFound(i.remote.kind.resource(), key.Name)
	}
	copyOf(o)
	return nil
}

// List is that of client.Reader, for Nodes and NodeSlots, all of them.
func (c *Cache) List(_ context.Context, into client.ObjectList, opts ...client.ListOption) error {
	if len(opts) > 0 {
		return fmt.Errorf("the cache lists all or nothing")
	}
	switch into := into.(type) {
	case *corev1.NodeList:
		into.Items = nil
		for _, n := range c.nodes.List() {
			into.Items = append(into.Items, *n.DeepCopy())
		}
	case *v1alpha1.NodeSlotsList:
		into.Items = nil
		for _, n := range c.nodeSlots.List() {
			into.Items = append(into.Items, *n.DeepCopy())
		}
	default:
		return fmt.Errorf("the cache has no %T", into)
	}
	return nil
}
