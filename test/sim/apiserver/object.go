package apiserver

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// Object is what is kept: a pointer to one of the API's structs.
type Object interface {
	metav1.Object
	runtime.Object
}

// Kind names a table.
type Kind string

// The tables that there are.
const (
	Pods        Kind = "pods"
	Nodes       Kind = "nodes"
	NodeSlots   Kind = "nodeslots"
	Leases      Kind = "leases"
	ConfigMaps  Kind = "configmaps"
	Deployments Kind = "deployments"
)

// groups are the API groups of the kinds that are not in the core group.
var groups = map[Kind]string{NodeSlots: "slotwise.dev", Leases: "coordination.k8s.io", Deployments: "apps"}

// resource is the kind as errors name it.
func (k Kind) resource() schema.GroupResource {
	return schema.GroupResource{Group: groups[k], Resource: string(k)}
}

// group is the kind as errors of invalid objects name it.
func (k Kind) group() schema.GroupKind { return schema.GroupKind{Group: groups[k], Kind: string(k)} }

// Event is one commit.
type Event struct {
	Kind Kind
	Type watch.EventType // Added, Modified or Deleted
	// Old is the object before; nil for Added. New is the object after; for Deleted it
	// is the last state with the version of the deletion.
	Old, New Object
	Version  uint64
	At       time.Time
	By       string // the name of the link by which it came; empty: a Table
}

// keyOf is the name of an object within its kind.
func keyOf(o Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}
