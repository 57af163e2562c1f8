// Package controllers tells the fleet what the cluster says: which Windows nodes there
// are and what they show, what users have set, and what has become of NodeSlots objects.
package controllers

import (
	"context"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"slotwise.dev/slotwise/allocator"
	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/events"
)

// Options are what the controllers work with.
type Options struct {
	Fleet  *allocator.Allocator
	Config *config.Reader
	Events events.Reporter
	Log    logr.Logger
}

// Setup has the leader follow nodes and settings and run the fleet.
func Setup(mgr ctrl.Manager, o Options) error {
	nodes := &Nodes{Reader: mgr.GetClient(), Fleet: o.Fleet, Events: o.Events, Log: o.Log}
	if err := ctrl.NewControllerManagedBy(mgr).Named("nodes").For(&corev1.Node{}).Complete(nodes); err != nil {
		return err
	}
	// The client reads NodeSlots past the cache.
	slots := &NodeSlots{Reader: mgr.GetCache(), Fleet: o.Fleet}
	if err := ctrl.NewControllerManagedBy(mgr).Named("nodeslots").For(&v1alpha1.NodeSlots{}, builder.OnlyMetadata).Complete(slots); err != nil {
		return err
	}
	settings := &Settings{Reader: mgr.GetClient(), Config: o.Config, Fleet: o.Fleet, Events: o.Events, Log: o.Log}
	if err := setupSettings(mgr, o.Config, settings); err != nil {
		return err
	}
	return mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		if err := Prime(ctx, mgr.GetClient(), settings, nodes); err != nil {
			return err
		}
		return o.Fleet.Run(ctx)
	}))
}

func setupSettings(mgr ctrl.Manager, c *config.Reader, settings *Settings) error {
	one := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: c.ConfigMap}}
	})
	leader := ctrl.NewControllerManagedBy(mgr).Named("settings").Watches(&corev1.ConfigMap{}, one)
	if !c.Beside {
		leader = leader.Watches(&appsv1.Deployment{}, one)
	}
	if err := leader.Complete(settings); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).Named("settings-standby").Watches(&corev1.ConfigMap{}, one).
		WithOptions(controller.Options{NeedLeaderElection: new(bool)}).
		Complete(&Standby{Reader: mgr.GetClient(), Config: c})
}

// Prime makes the settings and all nodes known before the pods are read, so that no pod
// is passed over.
func Prime(ctx context.Context, r client.Reader, settings *Settings, nodes *Nodes) error {
	if _, err := settings.Reconcile(ctx, reconcile.Request{}); err != nil {
		return err
	}
	var all corev1.NodeList
	if err := r.List(ctx, &all); err != nil {
		return err
	}
	for i := range all.Items {
		if _, err := nodes.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])}); err != nil {
			return err
		}
	}
	return nil
}
