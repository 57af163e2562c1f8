package kubelet

import (
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// Machine is what a node is beside its kubelet: the sandboxes of its pods go on when the
// kubelet does not.
type Machine struct {
	o Options

	mu        sync.Mutex // guards all below
	random    *rand.Rand
	sandboxes map[types.UID]*sandbox
	downtime  *time.Timer // runs while no kubelet does; nil: none has run yet
}

// sandbox is a pod as it runs. Its address is the one that the CNI plugin has read when the
// sandbox was made; nobody changes that any more.
type sandbox struct {
	address string
	ends    time.Time       // by itself; zero: never
	phase   corev1.PodPhase // in which it then ends
}

// NewMachine makes a machine without pods.
func NewMachine(o Options) *Machine {
	if o.NodeClient == nil {
		o.NodeClient = o.Client
	}
	if o.Rejected == nil {
		o.Rejected = func(Rejection) {}
	}
	return &Machine{o: o, random: rand.New(rand.NewPCG(o.Seed, 3)), sandboxes: map[types.UID]*sandbox{}}
}

// Name is that of its Node.
func (m *Machine) Name() string { return m.o.Node.Name }

// Addresses are those that sandboxes have, by the pods' UIDs. A pod whose object has gone
// may be among them for a while.
func (m *Machine) Addresses() map[types.UID]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[types.UID]string, len(m.sandboxes))
	for uid, s := range m.sandboxes {
		all[uid] = s.address
	}
	return all
}

func (m *Machine) sandbox(uid types.UID) *sandbox {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sandboxes[uid]
}

// start makes the sandbox of a pod.
func (m *Machine) start(p *corev1.Pod) *sandbox {
	s := &sandbox{address: address(p)}
	s.ends, s.phase = ends(p, time.Now())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sandboxes[p.UID] = s
	return s
}

func (m *Machine) tearDown(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sandboxes, uid)
}

// draw draws a time.
func (m *Machine) draw(s apiserver.Spread) time.Duration {
	if s.Max <= s.Min {
		return s.Min
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.Min + time.Duration(m.random.Int64N(int64(s.Max-s.Min)))
}
