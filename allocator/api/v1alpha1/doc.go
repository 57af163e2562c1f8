// Package v1alpha1 is the custom resource NodeSlots: what operators read with
// `kubectl get nodeslots`, and what a restart reads to know which addresses
// were free.
//
// +kubebuilder:object:generate=true
// +groupName=slotwise.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of this package.
var GroupVersion = schema.GroupVersion{Group: "slotwise.dev", Version: "v1alpha1"}

// AddToScheme makes a scheme know the types.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &NodeSlots{}, &NodeSlotsList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
