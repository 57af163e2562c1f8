package node

import (
	"github.com/go-logr/logr"

	"slotwise.dev/slotwise/allocator/annotate"
	"slotwise.dev/slotwise/allocator/budget"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/metrics"
	"slotwise.dev/slotwise/allocator/nodeslots"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/policy"
	"slotwise.dev/slotwise/allocator/settings"
)

// Gate says what this process may do.
type Gate interface {
	// Leads may take its time, so it is asked with no lock held.
	Leads() bool
	// On says that users have Slotwise on, and no other allocator is at work.
	On() bool
	// PodsRead is closed once the pods of all nodes have been read: before, nobody knows
	// which addresses are free.
	PodsRead() <-chan struct{}
}

// Listener is told what becomes of nodes, with no lock held.
type Listener interface {
	// Changed: what the node can do is another than before; grew: more remains.
	Changed(n *Node, grew bool)
	// Named: what EC2 calls the node has become known.
	Named(n *Node)
	// Gone: the node's network interface is gone, or another's. It is to be read anew.
	Gone(n *Node, why string)
}

// Shared is what all nodes share.
type Shared struct {
	EC2         *cloud.Client
	Subnets     *budget.Subnets
	Pods        *pods.Index
	Watch       *pods.Watch // reads the pods of Nodes that have joined late
	NodeSlots   *nodeslots.Recorder
	Annotations *annotate.Annotator
	Policy      policy.Policy
	Gate        Gate
	Listener    Listener
	Settings    func() settings.Settings // in force; it takes no lock
	Free        func() int               // addresses that all nodes can give now, or as soon as calls in flight are done
	Arrivals    *Arrivals
	Events      events.Reporter
	Metrics     *metrics.Metrics
	Log         logr.Logger
}

// gives says that addresses may be given and EC2 be asked for changes, by a process that
// leads.
func (s *Shared) gives() bool { return s.Policy.Gives() && s.Gate.On() && s.podsRead() }

// podsRead says that the pods of all nodes have been read.
func (s *Shared) podsRead() bool {
	select {
	case <-s.Gate.PodsRead():
		return true
	default:
		return false
	}
}
