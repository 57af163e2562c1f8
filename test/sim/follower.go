package sim

import (
	"context"
	"sync"
	"sync/atomic"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/controllers"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/sim/apiserver"
)

// follower runs the product's reconcilers on what the cluster tells, as controller-runtime
// does: those of the leader from its election on, that of a standby always.
type follower struct {
	s       *slotwise
	ctx     context.Context
	cache   *apiserver.Cache
	leading atomic.Bool

	nodes    controllers.Nodes
	slots    controllers.NodeSlots
	settings controllers.Settings
	standby  controllers.Standby
}

// follow begins to follow the cluster, until ctx ends.
func follow(ctx context.Context, s *slotwise) *follower {
	f := &follower{s: s, ctx: ctx}
	ready := make(chan struct{}) // the first news may come before the cache is known
	f.cache = s.env.API.Cache(ctx, apiserver.CacheOptions{
		Match:       func(n *corev1.Node) bool { return n.Labels[vpc.LabelOS] == vpc.Windows },
		Nodes:       func(old, now *corev1.Node) { <-ready; f.changed(&f.nodes, nameOf(old, now)) },
		NodeSlots:   func(old, now *v1alpha1.NodeSlots) { <-ready; f.changed(&f.slots, nameOf(old, now)) },
		ConfigMaps:  func(_, _ *corev1.ConfigMap) { <-ready; f.settingsChanged() },
		Deployments: func(_, _ *appsv1.Deployment) { <-ready; f.settingsChanged() },
	})
	f.nodes = controllers.Nodes{Reader: f.cache, Fleet: s.fleet, Events: s.events, Log: s.env.Log}
	f.slots = controllers.NodeSlots{Reader: f.cache, Fleet: s.fleet}
	f.settings = controllers.Settings{Reader: f.cache, Config: s.config, Fleet: s.fleet, Events: s.events, Log: s.env.Log}
	f.standby = controllers.Standby{Reader: f.cache, Config: s.config}
	close(ready)
	return f
}

// lead leads until ctx ends. A part that ends before has the replica end, as
// controller-runtime's manager does.
func (f *follower) lead(ctx context.Context, end func()) {
	f.leading.Store(true)
	var label sync.WaitGroup
	defer label.Wait()
	label.Go(func() {
		defer end()
		holdLabel(ctx, f.s.env)
	})
	_ = controllers.Prime(ctx, f.cache, &f.settings, &f.nodes) // the cache has no error but that ctx has ended
	_ = f.s.fleet.Run(ctx)
}

func (f *follower) changed(r reconcile.Reconciler, name string) {
	if !f.leading.Load() {
		return
	}
	request := reconcile.Request{NamespacedName: types.NamespacedName{Name: name}}
	if _, err := r.Reconcile(f.ctx, request); err != nil {
		panic(err) // the cache has no error but that there is none
	}
}

func (f *follower) settingsChanged() {
	f.changed(&f.settings, "")
	if _, err := f.standby.Reconcile(f.ctx, reconcile.Request{}); err != nil {
		panic(err)
	}
}

// nameOf is the name of an object that has come, changed or gone.
func nameOf[T any, P interface {
	*T
	GetName() string
}](old, now P) string {
	if now != nil {
		return now.GetName()
	}
	return old.GetName()
}
