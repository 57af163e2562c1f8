package kubelet

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// Machine is what a node is beside its kubelet: the sandboxes of its pods go on when the
// kubelet does not.
type Machine struct {
	o         Options
	dice      *dice
	sandboxes *sandboxes
	node      *ownNode
}

// NewMachine makes a machine without pods.
func NewMachine(o Options) *Machine {
	if o.NodeClient == nil {
		o.NodeClient = o.Client
	}
	if o.Rejected == nil {
		o.Rejected = func(Rejection) {}
	}
	d := &dice{random: rand.New(rand.NewPCG(o.Seed, 3))}
	return &Machine{
		o: o, dice: d,
		sandboxes: &sandboxes{dice: d, lag: o.Deletion, all: map[types.UID]*sandbox{}},
		node:      &ownNode{object: o.Node, server: o.Server, client: o.Client, dice: d},
	}
}

// Name is that of its Node.
func (m *Machine) Name() string { return m.o.Node.Name }

// Addresses are those that sandboxes have, by the pods' UIDs. A pod whose object has gone
// may be among them for a while.
func (m *Machine) Addresses() map[types.UID]string { return m.sandboxes.addresses() }

// SetReady has the running kubelet report its Node ready, or not, as when the container
// runtime or the network is away. Pods go on. It waits until the API server has heard it.
func (m *Machine) SetReady(ctx context.Context, ready bool) { m.node.report(ctx, ready) }

// dice draws times.
type dice struct {
	mu     sync.Mutex // guards random
	random *rand.Rand
}

func (d *dice) draw(s apiserver.Spread) time.Duration {
	if s.Max <= s.Min {
		return s.Min
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return s.Min + time.Duration(d.random.Int64N(int64(s.Max-s.Min)))
}

// within draws a time up to most.
func (d *dice) within(most time.Duration) time.Duration { return d.draw(apiserver.Spread{Max: most}) }
