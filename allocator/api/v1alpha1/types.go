package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// NodeSlots shows the address slots of one Windows node. It has the name of
// its Node, which owns it. Slotwise writes it; nobody configures it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=nodeslots,singular=nodeslots,scope=Cluster,shortName=slots
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.status.mode`
// +kubebuilder:printcolumn:name="Slots",type=integer,JSONPath=`.status.slots`
// +kubebuilder:printcolumn:name="Secondary-IPs",type=integer,JSONPath=`.status.secondaryIPs`
// +kubebuilder:printcolumn:name="Prefixes",type=integer,JSONPath=`.status.prefixes`
// +kubebuilder:printcolumn:name="In-Use",type=integer,JSONPath=`.status.inUse`
// +kubebuilder:printcolumn:name="Free",type=integer,JSONPath=`.status.free`
// +kubebuilder:printcolumn:name="Cooling",type=integer,JSONPath=`.status.cooling`
// +kubebuilder:printcolumn:name="Remaining",type=integer,JSONPath=`.status.remaining`
// +kubebuilder:printcolumn:name="Usable",type=integer,JSONPath=`.status.usable`
// +kubebuilder:printcolumn:name="Waiting",type=integer,JSONPath=`.status.waiting`,priority=1
// +kubebuilder:printcolumn:name="Converged",type=string,JSONPath=`.status.conditions[?(@.type=="Converged")].status`,priority=1
// +kubebuilder:printcolumn:name="Subnet",type=string,JSONPath=`.status.subnet`,priority=1
// +kubebuilder:printcolumn:name="Interface",type=string,JSONPath=`.status.networkInterface`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type NodeSlots struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Status NodeSlotsStatus `json:"status,omitempty"`
}

// NodeSlotsStatus is the ledger of a node's network interface in figures, as
// of at most a second ago.
type NodeSlotsStatus struct {
	// Mode is what new pods get: secondary-ip or prefix.
	// +kubebuilder:validation:Enum=secondary-ip;prefix
	Mode string `json:"mode"`

	// NetworkInterface is the id of the primary network interface.
	NetworkInterface string `json:"networkInterface"`

	// Subnet is the id of its subnet.
	Subnet string `json:"subnet"`

	// Slots is how many secondary IPs and prefixes the interface can have together.
	Slots int32 `json:"slots"`

	// SecondaryIPs is how many slots have a secondary IP.
	SecondaryIPs int32 `json:"secondaryIPs"`

	// Prefixes is how many slots have a /28 prefix of sixteen addresses.
	Prefixes int32 `json:"prefixes"`

	// InUse is how many pods have an address.
	InUse int32 `json:"inUse"`

	// Free is how many addresses can be given to pods now.
	Free int32 `json:"free"`

	// Cooling is how many addresses rest since their pod has ended.
	Cooling int32 `json:"cooling"`

	// Waiting is how many pods are bound, or being bound, without an address.
	Waiting int32 `json:"waiting"`

	// Remaining is how many more pods can get an address: free ones, and those
	// that empty slots can still take from the subnet.
	Remaining int32 `json:"remaining"`

	// Usable is what of Remaining the node's kubelet takes: it runs so many pods at the
	// most (max-pods, 110 unless it is told otherwise), whatever addresses there are.
	Usable int32 `json:"usable"`

	// Conditions say in words what the figures mean: Ready, Converged, SubnetExhausted
	// and MaxPodsLimited.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// KnownFree are the addresses, as CIDR blocks, that no pod has and none gets
	// before this list was taken back. After a crash these alone need no cooldown.
	// It is empty while pods come and go.
	// +optional
	// +listType=atomic
	KnownFree []string `json:"knownFree"`
}

// The types of NodeSlotsStatus.Conditions.
const (
	// ConditionReady says that Slotwise gives addresses on the node.
	ConditionReady = "Ready"
	// ConditionConverged says that all slots in use have what the mode gives: none is left
	// of a switch.
	ConditionConverged = "Converged"
	// ConditionSubnetExhausted says that slots are empty for which the subnet has nothing.
	ConditionSubnetExhausted = "SubnetExhausted"
	// ConditionMaxPodsLimited says that the kubelet's max-pods, and no lack of addresses,
	// is what limits the node.
	ConditionMaxPodsLimited = "MaxPodsLimited"
)

// NodeSlotsList is a list of NodeSlots.
//
// +kubebuilder:object:root=true
type NodeSlotsList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodeSlots `json:"items"`
}
