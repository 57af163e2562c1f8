package awsallocator

import (
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/test/ec2sim"
)

// cooldown is how long an address rests after its pod has ended.
const cooldown = 30 * time.Second

// node is the interface of one node, with its two pools.
type node struct {
	ec2   *ec2sim.Server
	eni   string
	slots int
	pools [2]*pool // by kind
}

// pool has blocks of one kind, and knows nothing of the other.
type pool struct {
	kind    ledger.Kind
	blocks  []netip.Prefix
	used    map[types.UID]netip.Addr
	cooling map[netip.Addr]time.Time
}

func newNode(ec2 *ec2sim.Server, i ec2sim.Interface) *node {
	n := &node{ec2: ec2, eni: i.ID, slots: i.Limit - 1}
	for k := range n.pools {
		n.pools[k] = &pool{kind: ledger.Kind(k), used: map[types.UID]netip.Addr{}, cooling: map[netip.Addr]time.Time{}}
	}
	return n
}

// capacity is the constant that the node is advertised with.
func (n *node) capacity(mode ledger.Kind) int { return n.slots * mode.Addresses() }

// allocate brings the pools to what the settings and the live pods ask for, and
// returns the annotations of the pods that get their address now.
func (n *node) allocate(s settings.Settings, pods []*corev1.Pod, now time.Time) map[*corev1.Pod]string {
	live := map[types.UID]bool{}
	var waiting []*corev1.Pod
	for _, p := range pods {
		live[p.UID] = true
		if n.pools[0].used[p.UID].IsValid() || n.pools[1].used[p.UID].IsValid() {
			continue
		}
		waiting = append(waiting, p)
	}
	for _, p := range n.pools {
		p.cool(live, now)
	}
	active, draining := n.pools[s.Mode], n.pools[1-s.Mode]
	n.trim(draining, 0)
	want := s.Targets.SecondaryIPs(len(active.used) + len(waiting))
	if s.Mode == ledger.Prefix {
		want = s.Targets.Prefixes(len(active.used)+len(waiting), len(active.blocks)-len(active.idle()))
	}
	n.grow(active, min(want, n.slots))
	n.trim(active, want)
	given := map[*corev1.Pod]string{}
	for _, p := range waiting {
		if address, ok := active.give(p.UID); ok {
			given[p] = n.format(address, s.Mode)
		}
	}
	return given
}

// grow takes blocks until the pool has as many as it wants, or EC2 refuses.
func (n *node) grow(p *pool, want int) {
	for len(p.blocks) < want {
		request := ec2sim.Request{AddressCount: 1}
		if p.kind == ledger.Prefix {
			request = ec2sim.Request{PrefixCount: 1}
		}
		got, err := n.ec2.Assign(n.eni, request)
		if err != nil {
			return
		}
		for _, a := range got.Addresses {
			p.blocks = append(p.blocks, netip.PrefixFrom(a, 32))
		}
		p.blocks = append(p.blocks, got.Prefixes...)
	}
}

// trim gives idle blocks back while the pool has more than it wants.
func (n *node) trim(p *pool, want int) {
	for _, b := range p.idle() {
		if len(p.blocks) <= want {
			return
		}
		gone := ec2sim.Slots{Addresses: []netip.Addr{b.Addr()}}
		if p.kind == ledger.Prefix {
			gone = ec2sim.Slots{Prefixes: []netip.Prefix{b}}
		}
		if n.ec2.Unassign(n.eni, gone) == nil {
			p.blocks = slices.DeleteFunc(p.blocks, func(x netip.Prefix) bool { return x == b })
		}
	}
}

// format is the annotation of an address: a secondary IP has the subnet's mask,
// which is a /20 in every test environment.
func (n *node) format(a netip.Addr, k ledger.Kind) string {
	bits := 20
	if k == ledger.Prefix {
		bits = a.BitLen()
	}
	return netip.PrefixFrom(a, bits).String()
}

// cool lets the addresses of ended pods rest, and those that have rested be free.
func (p *pool) cool(live map[types.UID]bool, now time.Time) {
	for pod, a := range p.used {
		if !live[pod] {
			delete(p.used, pod)
			p.cooling[a] = now.Add(cooldown)
		}
	}
	for a, until := range p.cooling {
		if !now.Before(until) {
			delete(p.cooling, a)
		}
	}
}

// give takes the lowest free address for a pod.
func (p *pool) give(pod types.UID) (netip.Addr, bool) {
	taken := p.taken()
	for _, b := range p.blocks {
		for a := b.Addr(); b.Contains(a); a = a.Next() {
			if !taken[a] {
				p.used[pod] = a
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

// taken are the addresses that are used or cool.
func (p *pool) taken() map[netip.Addr]bool {
	taken := map[netip.Addr]bool{}
	for _, a := range p.used {
		taken[a] = true
	}
	for a := range p.cooling {
		taken[a] = true
	}
	return taken
}

// idle are the blocks none of whose addresses is used or cools.
func (p *pool) idle() []netip.Prefix {
	taken := p.taken()
	return slices.DeleteFunc(slices.Clone(p.blocks), func(b netip.Prefix) bool {
		for a := range taken {
			if b.Contains(a) {
				return true
			}
		}
		return false
	})
}
