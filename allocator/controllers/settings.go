package controllers

import (
	"context"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/settings"
)

// SettingsFleet is told of settings.
type SettingsFleet interface {
	Apply(s config.State)
}

// Settings tells the fleet what users have set.
type Settings struct {
	Reader client.Reader
	Config *config.Reader
	Fleet  SettingsFleet
	Events events.Reporter
	Log    logr.Logger

	mu sync.Mutex // held from the look at the settings until the fleet has them
}

// Reconcile reads the settings and makes them known.
func (c *Settings) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.Config.Read(ctx, c.Reader, func(on *corev1.ConfigMap, p settings.Problem) {
		c.Log.Info("setting not understood", "configmap", c.Config.ConfigMap, "problem", p.String())
		invalidSetting(c.Events, on, p)
	})
	if err != nil {
		return reconcile.Result{}, err
	}
	if s.Other != nil {
		otherAllocator(c.Events, s.Other)
	}
	c.Log.Info("settings", "enabled", s.Enabled, "mode", s.Mode.String(), "other allocator", s.Other.String())
	c.Fleet.Apply(s)
	return reconcile.Result{}, nil
}

// Standby reads the settings without acting upon them, so that a replica knows the last
// good values when it takes over.
type Standby struct {
	Reader client.Reader
	Config *config.Reader
}

// Reconcile reads the settings.
func (c *Standby) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	_, err := c.Config.Read(ctx, c.Reader, config.Ignore)
	return reconcile.Result{}, err
}
