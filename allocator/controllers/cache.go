package controllers

import (
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/advertise"
	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/vpc"
)

// CacheOptions limit the manager's cache to what is used: Windows nodes, the ConfigMaps
// of Slotwise and of AWS's managed controller, and the Deployment of its old one. The
// ConfigMaps must be one and the same, or in two namespaces.
func CacheOptions(configMap types.NamespacedName) cache.Options {
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
			&corev1.ConfigMap{}:  only(configMap, config.ManagedConfigMap),
			&appsv1.Deployment{}: only(config.OldController),
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
		maps.DeleteFunc(n.Annotations, func(key, _ string) bool {
			return key != advertise.AnnotationRemaining && key != advertise.AnnotationSince
		})
		n.ManagedFields = nil
		n.Status = corev1.NodeStatus{
			Capacity: n.Status.Capacity, Allocatable: n.Status.Allocatable,
			Conditions: slices.DeleteFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type != corev1.NodeReady }),
		}
	}
	return obj, nil
}
