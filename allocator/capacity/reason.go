package capacity

// Reason is why a node cannot give a pod an address. The zero value is that it can.
//
// kube-scheduler counts nodes by the text of their reason, writes the counts into the
// pod's condition, and tries the pod again whenever that condition changes: so the
// texts are few and constant, and hold no figures or names. It joins them with commas:
// so they hold none.
type Reason uint8

// The reasons.
const (
	// Fits: an address can be had.
	Fits Reason = iota
	// Full: no address is free and the network interface can take no more.
	Full
	// NoRoomInSubnet: the interface has free slots, but the subnet nothing to put in.
	NoRoomInSubnet
	// Unknown: no Windows node, or none that the allocator has seen.
	Unknown
	// NotReady: the node's ledger is not yet rebuilt.
	NotReady
	// Duplicate: another Node object of the same EC2 instance offers its addresses.
	Duplicate
	// Refused: EC2 does not bring the interface what it is asked for.
	Refused
	// Kept: what comes free is on its way to pods of a higher priority.
	Kept
	// Off: Slotwise is switched off, or stands aside for another allocator.
	Off

	// Reasons is how many there are.
	Reasons
)

var labels = [Reasons]string{
	Fits:           "fits",
	Full:           "full",
	NoRoomInSubnet: "no_room_in_subnet",
	Unknown:        "unknown",
	NotReady:       "not_ready",
	Duplicate:      "duplicate",
	Refused:        "refused",
	Kept:           "kept",
	Off:            "off",
}

var texts = [Reasons]string{
	Full:           "no IPv4 address left on the node's network interface: end pods there or add Windows nodes",
	NoRoomInSubnet: "the node's subnet has no free address or /28 block: free some or add nodes in another subnet",
	Unknown:        "no Windows node that Slotwise knows: check its label kubernetes.io/os=windows and its spec.providerID",
	NotReady:       "the node's network interface is still being read from EC2: wait a moment",
	Duplicate:      "another Node of the same EC2 instance offers its addresses: delete the one that is left over",
	Refused:        "EC2 does not bring the node's network interface more addresses: see the node's event EC2CallRefused",
	Kept:           "the addresses that come free on the node are on their way to pods of a higher priority",
	Off:            "Windows IPAM is off: set enable-windows-ipam in the ConfigMap of Slotwise and turn off other controllers (event OtherControllerPresent)",
}

// String is the short name of the reason, for metrics and logs.
func (r Reason) String() string { return labels[r] }

// Text is what people read in the pod's condition: the thing and its fix. It is empty
// for Fits.
func (r Reason) Text() string { return texts[r] }

// Error is the reason why a pod is not bound to a node.
type Error struct {
	Reason Reason
	Detail string // what EC2 has answered, say; may be empty
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Reason.Text()
	}
	return e.Reason.Text() + " (" + e.Detail + ")"
}
