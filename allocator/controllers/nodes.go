package controllers

import (
	"context"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"slotwise.dev/slotwise/allocator"
	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
)

// NodeFleet is told of Node objects.
type NodeFleet interface {
	AddNode(m allocator.Member)
	RemoveNode(name string)
	NodeSeen(o *corev1.Node)
}

// Nodes tells the fleet of Windows nodes.
type Nodes struct {
	Reader client.Reader
	Fleet  NodeFleet
	Events events.Reporter
	Log    logr.Logger

	mu sync.Mutex // held from the look at a Node until the fleet knows what it says
}

// Reconcile makes known what has become of a Node.
func (c *Nodes) Reconcile(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var n corev1.Node
	err := c.Reader.Get(ctx, r.NamespacedName, &n)
	switch {
	case apierrors.IsNotFound(err):
		c.Fleet.RemoveNode(r.Name)
		return reconcile.Result{}, nil
	case err != nil:
		return reconcile.Result{}, err
	}
	c.follow(&n)
	return reconcile.Result{}, nil
}

func (c *Nodes) follow(n *corev1.Node) {
	instance, err := vpc.InstanceID(n.Spec.ProviderID)
	if err != nil {
		c.Log.Info("node not managed", "node", n.Name, "error", err.Error())
		unmanaged(c.Events, n.Name, err)
		return
	}
	mode, err := settings.ChoiceOf(n.Labels)
	if err != nil {
		unreadMode(c.Events, n.Name, err)
	}
	maxPods := n.Status.Allocatable[corev1.ResourcePods]
	c.Fleet.AddNode(allocator.Member{
		Name: n.Name, Instance: instance, Ready: isReady(n), Created: n.CreationTimestamp.Time,
		MaxPods: int(maxPods.Value()), Mode: mode,
	})
	c.Fleet.NodeSeen(n)
}

// isReady says that a Node's kubelet reports, and that it is ready.
func isReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// NodeSlotsFleet is told of NodeSlots objects.
type NodeSlotsFleet interface {
	NodeSlotsSeen(name, version string)
}

// NodeSlots tells the fleet what the cluster has of its NodeSlots objects.
type NodeSlots struct {
	Reader client.Reader // of their metadata
	Fleet  NodeSlotsFleet
}

// Reconcile makes known what has become of a NodeSlots object.
func (c *NodeSlots) Reconcile(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("NodeSlots"))
	if err := client.IgnoreNotFound(c.Reader.Get(ctx, r.NamespacedName, o)); err != nil {
		return reconcile.Result{}, err
	}
	c.Fleet.NodeSlotsSeen(r.Name, o.ResourceVersion)
	return reconcile.Result{}, nil
}
