package config

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/settings"
)

// Two allocators on one network interface take each other's addresses. These are the
// signs of AWS's own two.
var (
	// OldController is the Deployment of the one that users ran in the cluster.
	OldController = types.NamespacedName{Namespace: "kube-system", Name: "vpc-resource-controller"}

	// ManagedConfigMap turns the one on that EKS runs. Where there is no EKS it is
	// Slotwise's own; else Slotwise has another.
	ManagedConfigMap = types.NamespacedName{Namespace: "kube-system", Name: "amazon-vpc-cni"}
)

// OtherAllocator is another allocator that is at work. Until it is not, Slotwise acts as
// if it were off.
type OtherAllocator struct {
	Object *corev1.ObjectReference // that shows it
	Why    string                  // and what to do, in a sentence each
}

func (o *OtherAllocator) String() string {
	if o == nil {
		return ""
	}
	return o.Why
}

const otherText = "%s: two allocators on one network interface would take each other's addresses, so Slotwise acts as if it were off. %s to turn Slotwise on."

// otherAllocator looks for one; configMap is Slotwise's own.
func otherAllocator(ctx context.Context, r client.Reader, configMap types.NamespacedName) (*OtherAllocator, error) {
	var old appsv1.Deployment
	err := r.Get(ctx, OldController, &old)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("look for Deployment %s: %w", OldController, err)
	}
	if err == nil {
		return &OtherAllocator{
			Object: &corev1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: old.Namespace, Name: old.Name, UID: old.UID},
			Why:    fmt.Sprintf(otherText, fmt.Sprintf("The Deployment %s stands", OldController), "Remove it"),
		}, nil
	}
	if configMap == ManagedConfigMap {
		return nil, nil
	}
	var managed corev1.ConfigMap
	if err := client.IgnoreNotFound(r.Get(ctx, ManagedConfigMap, &managed)); err != nil {
		return nil, fmt.Errorf("read ConfigMap %s: %w", ManagedConfigMap, err)
	}
	// AWS's controller takes a value that it cannot read for "false".
	if s, _ := settings.Parse(managed.Data, settings.Settings{}); !s.Enabled {
		return nil, nil
	}
	return &OtherAllocator{
		Object: &corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: managed.Namespace, Name: managed.Name, UID: managed.UID},
		Why: fmt.Sprintf(otherText,
			fmt.Sprintf("The ConfigMap %s has AWS's managed controller on", ManagedConfigMap),
			fmt.Sprintf("Set %s to \"false\" there", settings.KeyEnabled)),
	}, nil
}
