package allocator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
)

// Watched limits the manager's cache to what is used: Windows nodes, the
// ConfigMaps of Slotwise and of AWS's managed controller, and the Deployment of
// its old one. The ConfigMaps must be one and the same, or in two namespaces.
func Watched(configMap types.NamespacedName) cache.Options {
	only := func(names ...types.NamespacedName) cache.ByObject {
		namespaces := map[string]cache.Config{}
		for _, n := range names {
			namespaces[n.Namespace] = cache.Config{FieldSelector: fields.OneTermEqualSelector("metadata.name", n.Name)}
		}
		return cache.ByObject{Namespaces: namespaces}
	}
	return cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Node{}:       {Label: labels.SelectorFromSet(labels.Set{vpc.LabelOS: vpc.Windows}), Transform: stripNode},
			&corev1.ConfigMap{}:  only(configMap, ManagedConfigMap),
			&appsv1.Deployment{}: only(OldController),
		},
		DefaultTransform: cache.TransformStripManagedFields(),
		NewInformer:      newInformer,
	}
}

// newInformer makes informers that can be ended at any time. After an API server was
// away, client-go's reflector sleeps for up to a minute before it streams its list
// again, and does not hear that it is to end; the manager gives up the lease only
// after it. The lists are short here, and are as well asked for as a whole.
func newInformer(lw toolscache.ListerWatcher, obj runtime.Object, resync time.Duration, by toolscache.Indexers) toolscache.SharedIndexInformer {
	return toolscache.NewSharedIndexInformer(unstreamed{lw, toolscache.ToListerWatcherWithContext(lw)}, obj, resync, by)
}

type unstreamed struct {
	toolscache.ListerWatcher
	toolscache.ListerWatcherWithContext
}

// IsWatchListSemanticsUnSupported is what client-go asks before it streams a list.
func (unstreamed) IsWatchListSemanticsUnSupported() bool { return true }

// stripNode drops what is not used of a Node.
func stripNode(obj any) (any, error) {
	if n, ok := obj.(*corev1.Node); ok {
		maps.DeleteFunc(n.Annotations, func(key, _ string) bool { return key != AnnotationRemaining && key != AnnotationSince })
		n.ManagedFields = nil
		n.Status = corev1.NodeStatus{
			Capacity: n.Status.Capacity, Allocatable: n.Status.Allocatable,
			Conditions: slices.DeleteFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type != corev1.NodeReady }),
		}
	}
	return obj, nil
}

// SetupWithManager has the leader follow nodes and settings and run the
// allocator.
func (a *Allocator) SetupWithManager(mgr ctrl.Manager, configMap types.NamespacedName) error {
	a.configMap = configMap
	c := &controllers{Allocator: a, client: mgr.GetClient(), cache: mgr.GetCache()}
	if err := ctrl.NewControllerManagedBy(mgr).Named("nodes").For(&corev1.Node{}).
		Complete(reconcile.Func(c.node)); err != nil {
		return err
	}
	if err := ctrl.NewControllerManagedBy(mgr).Named("nodeslots").For(&v1alpha1.NodeSlots{}, builder.OnlyMetadata).
		Complete(reconcile.Func(c.nodeSlots)); err != nil {
		return err
	}
	one := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: configMap}}
	})
	follower := ctrl.NewControllerManagedBy(mgr).Named("settings").Watches(&corev1.ConfigMap{}, one)
	if !a.observing() {
		follower = follower.Watches(&appsv1.Deployment{}, one)
	}
	if err := follower.Complete(reconcile.Func(c.settings)); err != nil {
		return err
	}
	// A standby reads them too, so that it knows the last good values when it takes over.
	if err := ctrl.NewControllerManagedBy(mgr).Named("settings-standby").Watches(&corev1.ConfigMap{}, one).
		WithOptions(controller.Options{NeedLeaderElection: new(bool)}).Complete(reconcile.Func(c.standby)); err != nil {
		return err
	}
	return mgr.Add(manager.RunnableFunc(c.start))
}

type controllers struct {
	*Allocator
	client client.Client
	cache  client.Reader // of NodeSlots, of which the client reads what the API server has now

	mu sync.Mutex // held from the look at an object until what it says is taken up
}

// start makes all nodes and the settings known before the pods are read, so
// that no pod is passed over.
func (c *controllers) start(ctx context.Context) error {
	if _, err := c.settings(ctx, reconcile.Request{}); err != nil {
		return err
	}
	var nodes corev1.NodeList
	if err := c.client.List(ctx, &nodes); err != nil {
		return err
	}
	for i := range nodes.Items {
		if _, err := c.node(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&nodes.Items[i])}); err != nil {
			return err
		}
	}
	return c.Run(ctx)
}

func (c *controllers) node(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var n corev1.Node
	err := c.client.Get(ctx, r.NamespacedName, &n)
	if apierrors.IsNotFound(err) {
		c.RemoveNode(r.Name)
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	c.follow(&n)
	return reconcile.Result{}, nil
}

// nodeSlots notes what has become of a NodeSlots object.
func (c *controllers) nodeSlots(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("NodeSlots"))
	if err := client.IgnoreNotFound(c.cache.Get(ctx, r.NamespacedName, o)); err != nil {
		return reconcile.Result{}, err
	}
	c.Recorded(r.Name, o.ResourceVersion)
	return reconcile.Result{}, nil
}

func (c *controllers) follow(n *corev1.Node) {
	instance, err := instanceID(n.Spec.ProviderID)
	if err != nil {
		c.log.Info("node not managed", "node", n.Name, "error", err.Error())
		c.events.unmanaged(n.Name, err.Error())
		return
	}
	c.AddNode(Member{
		Name: n.Name, Instance: instance, Ready: isReady(n), Created: n.CreationTimestamp.Time,
		MaxPods: quantity(n.Status.Allocatable, corev1.ResourcePods),
	})
	c.Advertised(n)
}

// isReady says that a Node's kubelet reports, and that it is ready.
func isReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// instanceID reads the EC2 instance from a node's provider id, which AWS's
// cloud provider writes as aws:///us-west-2a/i-0123456789abcdef0.
func instanceID(providerID string) (string, error) {
	rest, aws := strings.CutPrefix(providerID, "aws://")
	id := rest[strings.LastIndex(rest, "/")+1:]
	if !aws || !strings.HasPrefix(id, "i-") {
		return "", fmt.Errorf("spec.providerID %q names no EC2 instance: want aws:///ZONE/INSTANCE-ID, as the AWS cloud provider sets it", providerID)
	}
	return id, nil
}

// settings reads the ConfigMap and looks for another allocator.
func (c *controllers) settings(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.Read(ctx, c.client, c.configMap, func(on *corev1.ConfigMap, p settings.Problem) {
		c.log.Info("setting not understood", "configmap", c.configMap, "problem", p.String())
		c.Problem(on, p)
	})
	if err != nil {
		return reconcile.Result{}, err
	}
	if s.Obstacle != nil {
		c.events.hindered(s.Obstacle)
	}
	c.log.Info("settings", "enabled", s.Enabled, "mode", s.Mode.String(), "obstacle", s.Obstacle.String())
	c.Apply(s)
	return reconcile.Result{}, nil
}

// standby reads the settings without acting upon them.
func (c *controllers) standby(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	_, err := c.Read(ctx, c.client, c.configMap, func(*corev1.ConfigMap, settings.Problem) {})
	return reconcile.Result{}, err
}

// Read is ReadState, or ReadSettings in mode observe: there another allocator is
// no obstacle.
func (a *Allocator) Read(ctx context.Context, r client.Reader, configMap types.NamespacedName, problem func(*corev1.ConfigMap, settings.Problem)) (State, error) {
	read := ReadState
	if a.observing() {
		read = ReadSettings
	}
	a.reading.Lock()
	defer a.reading.Unlock()
	s, err := read(ctx, r, configMap, a.lastGood, problem)
	if err == nil {
		a.lastGood = s.Settings
	}
	return s, err
}

// ReadState reads what users have set, and looks for another allocator. Of a value
// that cannot be read, that of last counts.
func ReadState(ctx context.Context, r client.Reader, configMap types.NamespacedName, last settings.Settings, problem func(*corev1.ConfigMap, settings.Problem)) (State, error) {
	s, err := ReadSettings(ctx, r, configMap, last, problem)
	if err != nil {
		return State{}, err
	}
	s.Obstacle, err = obstacle(ctx, r, configMap)
	return s, err
}

// ReadSettings reads what users have set. A missing ConfigMap means off; of a value
// that cannot be read, that of last counts.
func ReadSettings(ctx context.Context, r client.Reader, configMap types.NamespacedName, last settings.Settings, problem func(*corev1.ConfigMap, settings.Problem)) (State, error) {
	var cm corev1.ConfigMap
	if err := client.IgnoreNotFound(r.Get(ctx, configMap, &cm)); err != nil {
		return State{}, fmt.Errorf("read ConfigMap %s: %w", configMap, err)
	}
	parsed, problems := settings.Parse(cm.Data, last)
	for _, p := range problems {
		problem(&cm, p)
	}
	return State{Settings: parsed}, nil
}
