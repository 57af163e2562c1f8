package history

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// New makes the history of a seed. only, where given, are the groups of trouble that it has,
// by a part of their names; else it has about half of them. A part with a minus before it is
// of a group that it has not.
func New(seed uint64, only ...string) History {
	m := &maker{r: newRandom(seed), h: History{Seed: seed}, groups: map[group]float64{}}
	m.h.Trouble = m.between(shortest, longest)
	m.choose(only)
	m.cluster()
	m.population()
	m.troubles()
	m.ending()
	slices.SortStableFunc(m.h.Steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return m.h
}

const (
	// shortest and longest are how long there is trouble.
	shortest = 15 * time.Minute
	longest  = 50 * time.Minute
	// calm is one of how many histories has no trouble at all, but pods that come and go.
	calm = 12
	// settling is how long the first pods wait for the nodes to be ready, mostly.
	settling = 20 * time.Second
)

// maker makes one history.
type maker struct {
	r *rand.Rand
	h History
	// groups are the kinds of trouble that this history has, and how much more or less of
	// each than usual: a history that has everything shows little of each.
	groups map[group]float64
	made   int // pods
}

// choose draws which groups of trouble the history has.
func (m *maker) choose(only []string) {
	named := func(g group, sign string) bool {
		return slices.ContainsFunc(only, func(x string) bool {
			part, signed := strings.CutPrefix(x, sign)
			return signed && strings.Contains(string(g), part)
		})
	}
	if slices.ContainsFunc(only, func(x string) bool { return !strings.HasPrefix(x, "-") }) {
		for _, g := range groups {
			if named(g, "") {
				m.groups[g] = 1
			}
		}
		return
	}
	if m.oneOf(calm) {
		return
	}
	for _, g := range groups {
		if m.oneOf(2) && !named(g, "-") {
			m.groups[g] = math.Exp2(m.r.Float64()*3 - 1.5) // a third to three times as much
		}
	}
}

// has says that a history has a group of troubles.
func (m *maker) has(g group) bool { return m.groups[g] > 0 }

// instanceTypes have few slots, so that nodes are often full: 3, 5, 9, 11, and 9 without
// prefixes.
var instanceTypes = []string{"t3.small", "t3.small", "t3.medium", "t3.medium", "c5.large", "t3.large", "m4.large"}

// subnetBits are the sizes of subnets: of the 27 addresses of a /27 none is in a block
// that can be had; a /26 has 59 addresses and 2 blocks, a /25 123 and 6, a /24 251 and 14.
var subnetBits = []int{27, 26, 26, 25, 25, 24}

func (m *maker) cluster() {
	c := &m.h.Cluster
	c.Replicas = 2 + m.r.IntN(2)
	c.Lease = Duration([]time.Duration{15 * time.Second, 15 * time.Second, 6 * time.Second}[m.r.IntN(3)])
	c.Settings = m.settings()
	c.Settings.Off = false
	for i := range 1 + m.r.IntN(3) {
		bits := subnetBits[m.r.IntN(len(subnetBits))]
		c.Subnets = append(c.Subnets, Subnet{
			ID:   fmt.Sprintf("subnet-%d", i),
			CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), bits),
		})
	}
	for i := range 2 + m.r.IntN(6) {
		c.Nodes = append(c.Nodes, m.node(fmt.Sprintf("node-%d", i)))
	}
	c.Latency = m.between(20*time.Millisecond, time.Second)
	c.Teardown = m.between(0, 10*time.Second)
	c.NodeLag = m.between(0, 500*time.Millisecond)
	if m.h.Seed%3 == 0 {
		c.Sample = 2
	}
}

func (m *maker) node(name string) Node {
	n := Node{Name: name, Type: m.of(instanceTypes), Subnet: m.h.Cluster.Subnets[m.r.IntN(len(m.h.Cluster.Subnets))].ID, Pods: 110}
	if m.oneOf(6) {
		n.Pods = 4 + m.r.IntN(12) // less than there are addresses
	}
	return n
}

// settings draws settings, sometimes off.
func (m *maker) settings() Settings {
	s := Settings{Off: m.oneOf(10), Prefixes: m.oneOf(2)}
	switch m.r.IntN(4) {
	case 0:
		s.WarmIP, s.MinimumIP = 1+m.r.IntN(8), 1+m.r.IntN(10)
	case 1:
		s.WarmPrefix = 1 + m.r.IntN(2)
	case 2:
		s.Junk = "many"
	}
	return s
}

func (m *maker) add(steps ...Step) { m.h.Steps = append(m.h.Steps, steps...) }

// oneOf is true one of n times.
func (m *maker) oneOf(n int) bool { return m.r.IntN(n) == 0 }

func (m *maker) of(all []string) string { return all[m.r.IntN(len(all))] }

// anyNode is one of the first nodes: of those that left another came under their name.
func (m *maker) anyNode() string { return m.h.Cluster.Nodes[m.r.IntN(len(m.h.Cluster.Nodes))].Name }

func (m *maker) anySubnet() string {
	return m.h.Cluster.Subnets[m.r.IntN(len(m.h.Cluster.Subnets))].ID
}

// between draws a duration, in milliseconds.
func (m *maker) between(low, high time.Duration) Duration {
	return Duration((low + time.Duration(m.r.Int64N(int64(high-low)+1))).Round(time.Millisecond))
}

// exp draws a duration that is d on average, and often much shorter.
func (m *maker) exp(d time.Duration) Duration {
	return Duration(time.Duration(float64(d) * min(6, m.r.ExpFloat64())).Round(time.Millisecond))
}

func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
