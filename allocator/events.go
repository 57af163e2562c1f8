package allocator

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
)

// The reasons of events. Those that AWS's troubleshooting guide names keep
// their names.
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
	textNoCidrBlocks      = "InsufficientCidrBlocks: The specified subnet does not have enough free cidr blocks to satisfy the request"
	textNoAddresses       = "InsufficientFreeAddressesInSubnet: The specified subnet does not have enough free addresses to satisfy the request"
	actionAllocate        = "Allocate"
	actionAssign          = "Assign"
	actionConfigure       = "Configure"
	actionDiscover        = "Discover"
)

// reporter tells people what happened, by events on what it happened to. The
// recorder folds repetitions into series.
type reporter struct {
	recorder events.EventRecorder
}

func nodeRef(name string) *corev1.ObjectReference {
	// kubectl describe node finds events by this UID.
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: name, UID: types.UID(name)}
}

func podRef(key types.NamespacedName, uid types.UID) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: key.Namespace, Name: key.Name, UID: uid}
}

func (r reporter) normal(on runtime.Object, reason, action, note string) {
	r.recorder.Eventf(on, nil, corev1.EventTypeNormal, reason, action, "%s", note)
}

func (r reporter) warn(on runtime.Object, reason, action, note string) {
	r.recorder.Eventf(on, nil, corev1.EventTypeWarning, reason, action, "%s", note)
}

func (r reporter) allocated(pod types.NamespacedName, uid types.UID, address netip.Prefix) {
	r.normal(podRef(pod, uid), ReasonAllocated, actionAllocate, fmt.Sprintf("Allocated %s: %s to the pod", vpc.Resource, address))
}

func (r reporter) failed(pod types.NamespacedName, uid types.UID, err error) {
	r.warn(podRef(pod, uid), ReasonFailed, actionAllocate, fmt.Sprintf("Failed to give the pod its address: %v. It is tried again.", err))
}

func (r reporter) noRoom(node, subnet string, k ledger.Kind) {
	reason, text := ReasonNoCidrBlocks, textNoCidrBlocks
	if k == ledger.SecondaryIP {
		reason, text = ReasonNoAddresses, textNoAddresses
	}
	r.warn(nodeRef(node), reason, actionAssign, fmt.Sprintf("%s (subnet %s)", text, subnet))
}

func (r reporter) unsupported(node string, err error) {
	r.warn(nodeRef(node), ReasonUnsupported, actionDiscover, fmt.Sprintf("The node cannot be managed: %v", err))
}

func (r reporter) notNitro(node string) {
	r.warn(nodeRef(node), ReasonUnsupported, actionConfigure,
		"Prefixes need an instance built on the Nitro system; this node stays in secondary IP mode.")
}

func (r reporter) refused(node string, err error) {
	r.warn(nodeRef(node), ReasonRefused, actionAssign, err.Error())
}

func (r reporter) drift(node string, d ledger.Drift) {
	r.warn(nodeRef(node), ReasonDrift, actionAssign, fmt.Sprintf(
		"Another hand changed the network interface: appeared %v, vanished %v, live pods left without their address: %d", d.Appeared, d.Vanished, len(d.Stranded)))
}

func (r reporter) duplicate(pod types.NamespacedName, uid types.UID, address netip.Addr, other types.NamespacedName) {
	r.warn(podRef(pod, uid), ReasonDuplicate, actionAllocate, fmt.Sprintf("The pod has the address %s, which the older pod %s has too: it is evicted.", address, other))
}

func (r reporter) lost(pod types.NamespacedName, uid types.UID, address netip.Addr) {
	r.warn(podRef(pod, uid), ReasonLost, actionAssign, fmt.Sprintf(
		"Another client of EC2 has taken the pod's address %s from its node's network interface, and it cannot be taken back now: the pod has no network. Delete the pod, so that it gets another address.", address))
}

func (r reporter) duplicateNode(node, other, instance string) {
	r.warn(nodeRef(node), ReasonDuplicateNode, actionDiscover, fmt.Sprintf(
		"The Node %s is the same EC2 instance, %s, and offers its addresses; this one offers none. Delete the Node that is left over.", other, instance))
}

func (r reporter) maxPods(node string, maxPods, onHost, addresses, want int) {
	r.warn(nodeRef(node), ReasonMaxPods, actionConfigure, fmt.Sprintf(
		"The kubelet takes %d pods, %d of which are on the host's network, and the network interface has room for %d addresses: the others are of no use. Start it with -KubeletExtraArgs '--max-pods=%d' to use them all.",
		maxPods, onHost, addresses, want))
}

// off tells that Slotwise was turned off while there are nodes that it serves.
func (r reporter) off(configMap types.NamespacedName, nodes int) {
	on := &corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: configMap.Namespace, Name: configMap.Name}
	r.warn(on, ReasonOff, actionConfigure, fmt.Sprintf(
		"Slotwise is off: %s is not \"true\" any more. Pods that run keep their addresses; new ones on %d Windows nodes get none. Where the VPC CNI chart or add-on owns this ConfigMap, an upgrade sets it to \"false\": set enableWindowsIpam there.", settings.KeyEnabled, nodes))
}

func (r reporter) unmanaged(node, why string) {
	r.warn(nodeRef(node), ReasonUnmanaged, actionDiscover, "Slotwise gives no addresses on this node: "+why)
}

func (r reporter) reservationsUnread(node, subnet string, err error) {
	r.warn(nodeRef(node), ReasonRefused, actionDiscover, fmt.Sprintf("The CIDR reservations of subnet %s cannot be read, so it counts as having none: %v", subnet, err))
}

// hangs tells of a pod that was bound past the extender.
func (r reporter) hangs(pod types.NamespacedName, uid types.UID, node string) {
	r.warn(podRef(pod, uid), ReasonFailed, actionAllocate, fmt.Sprintf(
		"Node %s has no address for the pod, which was bound there past Slotwise's extender: it gets the next one that comes free. Delete the pod to have it scheduled where there is one.", node))
}

func (r reporter) hindered(o *Obstacle) {
	r.warn(o.Object, ReasonOtherController, actionConfigure, o.Why)
}

// Problem tells of a setting that could not be read. The recorder folds events
// of one reason on one object together, whatever their notes, so the event is on
// the field, in this version of the ConfigMap.
func (a *Allocator) Problem(on *corev1.ConfigMap, p settings.Problem) {
	field := &corev1.ObjectReference{
		APIVersion: "v1", Kind: "ConfigMap", Namespace: on.Namespace, Name: on.Name,
		UID: on.UID, ResourceVersion: on.ResourceVersion, FieldPath: "data." + p.Key,
	}
	a.events.warn(field, ReasonInvalidSetting, actionConfigure, p.String())
}
