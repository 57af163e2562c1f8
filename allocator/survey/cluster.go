package survey

import (
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/ledger"
)

// Cluster is a cluster at one moment.
type Cluster struct {
	At      time.Time `json:"at"`                // when EC2 was asked last
	Mode    string    `json:"mode"`              // what the ConfigMap says: prefix or secondary-ip
	Enabled bool      `json:"enabled"`           // enable-windows-ipam
	Trouble string    `json:"trouble,omitempty"` // why EC2 could not be looked at since; what it showed before counts
	Totals  Totals    `json:"totals"`
	Nodes   []Node    `json:"nodes"` // the widest gap first; those that could not be looked at come last
	Subnets []Subnet  `json:"subnets"`
}

// Totals add up the nodes that could be looked at.
type Totals struct {
	Nodes    int `json:"nodes"`
	Odd      int `json:"odd"` // nodes that could not be looked at; in no other figure
	Pods     int `json:"pods"`
	Waiting  int `json:"waiting"`
	InUse    int `json:"inUse"`
	Cooling  int `json:"cooling"`
	Promised int `json:"promised"`
	There    int `json:"there"`
	Gap      int `json:"gap"`    // sum of the gaps above zero
	Hang     int `json:"hang"`   // sum
	Unseen   int `json:"unseen"` // sum of the gaps below zero, as a positive number
	// Advertised is what the Nodes show to the scheduler now: AWS's formula, or the truth
	// where Slotwise is at work.
	Advertised int `json:"advertised"`
}

// Node is a Windows node. Where Why is set only the fields above it, and Pods and MaxPods,
// are known.
type Node struct {
	Name     string `json:"name"`
	Group    string `json:"group"` // its node group; its instance type where no label names one
	Instance string `json:"instance,omitempty"`
	Type     string `json:"type,omitempty"`
	Why      string `json:"why,omitempty"` // why it could not be looked at, and what to do

	Interface string `json:"interface,omitempty"` // the primary network interface
	Subnet    string `json:"subnet,omitempty"`
	Mode      string `json:"mode,omitempty"` // of what new pods get there
	Note      string `json:"note,omitempty"` // what is odd about a node that could be looked at

	Slots        int  `json:"slots"` // usable ones: without that of the primary address
	SecondaryIPs int  `json:"secondaryIPs"`
	Prefixes     int  `json:"prefixes"`
	Pods         int  `json:"pods"`              // that live, without those on the host's network
	Waiting      int  `json:"waiting"`           // of them, those that ask for an address and have none
	InUse        int  `json:"inUse"`             // addresses that pods hold
	Free         int  `json:"free"`              // addresses of the mode's kind that could be given now
	Cooling      *int `json:"cooling,omitempty"` // addresses that rest after their pod; nil: nobody has seen
	MaxPods      int  `json:"maxPods"`           // of the kubelet; 0: not known

	// Promised is what AWS's formula promises: slots in secondary IP mode, 16 times as
	// many in prefix mode. There is what is truly there: addresses in use, free ones, and
	// those that empty slots can take from the subnet.
	Promised   int  `json:"promised"`
	There      int  `json:"there"`
	Gap        int  `json:"gap"`                  // Promised - There; below zero the formula hides what is there
	Hang       int  `json:"hang"`                 // pods that the scheduler would bind there, and that would never start
	Advertised *int `json:"advertised,omitempty"` // what the Node shows to the scheduler now; nil: nothing

	Short  int     `json:"-"` // empty slots for which the subnet has nothing
	Blocks []Block `json:"-"` // what is in the slots, in the order of addresses
}

// Block is what one slot holds: a secondary IP (/32), or a prefix (/28).
type Block struct {
	Prefix    netip.Prefix
	Addresses []Address
}

// Kind tells a secondary IP from a prefix.
func (b Block) Kind() ledger.Kind { return ledger.KindOf(b.Prefix) }

// Address is one address of a block.
type Address struct {
	State State
	Pod   types.NamespacedName // that holds it, where State is Held
	Until time.Time            // when it has cooled, where State is Cooling; zero: once EC2 has shown it again
}

// State is what an address is good for.
type State uint8

// The states.
const (
	Free State = iota
	Held
	Cooling
)

func (s State) String() string { return [...]string{"free", "held", "cooling"}[s] }

// Subnet is a subnet with Windows nodes. Where Why is set nothing else is known of it.
type Subnet struct {
	ID           string `json:"id"`
	Zone         string `json:"zone,omitempty"`
	CIDR         string `json:"cidr,omitempty"`
	Why          string `json:"why,omitempty"`
	Nodes        int    `json:"nodes"`
	FreePrefixes int    `json:"freePrefixes"` // whole free /28 blocks that EC2 can give
	FreeIPs      int    `json:"freeIPs"`      // addresses that EC2 can give one by one
	Hidden       int    `json:"hidden"`       // addresses in use that EC2 does not show, as in a shared subnet
	Cells        []Cell `json:"-"`            // each /28, in order
}

// Cell is one aligned /28 of a subnet.
type Cell struct {
	Block  netip.Prefix
	Use    Use
	Owners []string // who holds addresses in it
}

// Use is what a cell is used for.
type Use uint8

// The uses, as a picture tells them apart.
const (
	Unused      Use = iota // a prefix can be had there
	NodePrefix             // a prefix of a Windows node
	NodeIPs                // single addresses of Windows nodes
	Spoiled                // an address of somebody else is in it
	OtherPrefix            // a prefix of somebody else
	Reserved               // free, and kept for prefixes
	Explicit               // kept for what is asked for by name
	Kept                   // AWS keeps the first four addresses and the last of a subnet
)

// Uses names them for people.
var Uses = [...]string{
	Unused: "free", NodePrefix: "prefix of a node", NodeIPs: "secondary IPs of nodes", Spoiled: "spoiled by another's address",
	OtherPrefix: "prefix of another", Reserved: "reserved for prefixes", Explicit: "explicitly reserved", Kept: "kept by AWS",
}

func (u Use) String() string { return Uses[u] }
