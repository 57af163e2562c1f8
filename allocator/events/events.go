// Package events tells people what happened, by events on what it happened to: kubectl
// describe shows them. The constructors of single events are where they come from.
package events

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"

	"slotwise.dev/slotwise/allocator/vpc"
)

// The reasons of events. Those that AWS's troubleshooting guide names keep their names.
const (
	ReasonAllocated       = "ResourceAllocated"
	ReasonFailed          = "ResourceAllocationFailed"
	ReasonNoCidrBlocks    = "InsufficientCidrBlocks"
	ReasonNoAddresses     = "InsufficientFreeAddressesInSubnet"
	ReasonUnsupported     = "UnsupportedInstanceType"
	ReasonRefused         = "EC2CallRefused"
	ReasonDrift           = "NetworkInterfaceChanged"
	ReasonDuplicate       = "DuplicateAddress"
	ReasonLost            = "AddressLost"
	ReasonDuplicateNode   = "DuplicateNode"
	ReasonMaxPods         = "MaxPodsLimited"
	ReasonUnmanaged       = "NodeNotManaged"
	ReasonOff             = "SlotwiseOff"
	ReasonInvalidSetting  = "InvalidSetting"
	ReasonOtherController = "OtherControllerPresent"
)

// The actions that events are about.
const (
	ActionAllocate  = "Allocate"
	ActionAssign    = "Assign"
	ActionConfigure = "Configure"
	ActionDiscover  = "Discover"
)

// Reporter reports events. The recorder folds repetitions into series.
type Reporter struct {
	Recorder events.EventRecorder
}

// Normal reports that something went well.
func (r Reporter) Normal(on runtime.Object, reason, action, note string) {
	r.Recorder.Eventf(on, nil, corev1.EventTypeNormal, reason, action, "%s", note)
}

// Warn reports that something is not as it should be.
func (r Reporter) Warn(on runtime.Object, reason, action, note string) {
	r.Recorder.Eventf(on, nil, corev1.EventTypeWarning, reason, action, "%s", note)
}

// Allocated reports that a pod has its address.
func (r Reporter) Allocated(pod types.NamespacedName, uid types.UID, address netip.Prefix) {
	r.Normal(Pod(pod, uid), ReasonAllocated, ActionAllocate, fmt.Sprintf("Allocated %s: %s to the pod", vpc.Resource, address))
}

// Node refers to a Node.
func Node(name string) *corev1.ObjectReference {
	// kubectl describe node finds events by this UID.
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: name, UID: types.UID(name)}
}

// Pod refers to a pod.
func Pod(key types.NamespacedName, uid types.UID) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: key.Namespace, Name: key.Name, UID: uid}
}

// ConfigMap refers to a ConfigMap.
func ConfigMap(key types.NamespacedName) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: key.Namespace, Name: key.Name}
}

// ConfigMapField refers to a field in this version of a ConfigMap: the recorder folds
// events of one reason on one object together, whatever their notes.
func ConfigMapField(on *corev1.ConfigMap, key string) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: "v1", Kind: "ConfigMap", Namespace: on.Namespace, Name: on.Name,
		UID: on.UID, ResourceVersion: on.ResourceVersion, FieldPath: "data." + key,
	}
}
