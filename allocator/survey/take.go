package survey

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
)

// Objects are what the API server has said.
type Objects struct {
	Settings settings.Settings
	Nodes    []*corev1.Node   // the Windows ones
	Pods     map[string][]Pod // by node: those that live, and those whose address may still cool
	Cooling  map[string]int   // addresses that cool by node, of NodeSlots; empty where Slotwise is not installed
	Since    time.Time        // from when on ends of pods have been seen; zero: none have
}

// Pod is a pod on a node.
type Pod struct {
	pods.Pod
	Seen  time.Time // when it was first known to have its address
	Ended time.Time // when it ended; zero: it lives
}

// Shown is what EC2 has shown.
type Shown struct {
	Machines map[string]Machine // by instance id
	Subnets  map[string]SubnetShown
	At       time.Time
}

// Machine is what an instance is; Err says why that is not known.
type Machine struct {
	cloud.Instance
	cloud.Limits
	Err error
}

// SubnetShown is what a subnet has in it; Err says why that is not known.
type SubnetShown struct {
	cloud.Subnet
	Err error
}

// Take makes a cluster of what Kubernetes and EC2 have said. It changes neither.
func Take(o Objects, shown Shown, now time.Time) *Cluster {
	c := &Cluster{At: shown.At, Mode: o.Settings.Mode.String(), Enabled: o.Settings.Enabled}
	books := make([]*book, 0, len(o.Nodes))
	byName := func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) }
	same := byInstance(o.Nodes)
	for _, n := range slices.SortedFunc(slices.Values(o.Nodes), byName) { // so that the same gets the same share
		books = append(books, open(n, same, o, shown, now))
	}
	share(books, shown)
	for _, b := range books {
		c.Nodes = append(c.Nodes, b.node(o, now))
	}
	slices.SortFunc(c.Nodes, worstFirst)
	c.Subnets = subnets(c.Nodes, shown)
	c.Totals = Sum(c.Nodes)
	return c
}

// byInstance are the Nodes that say to be an instance, by its id, the newest first: mostly
// one, and several after a change of the host's name, say.
func byInstance(nodes []*corev1.Node) map[string][]*corev1.Node {
	all := map[string][]*corev1.Node{}
	for _, n := range nodes {
		if id, err := vpc.InstanceID(n.Spec.ProviderID); err == nil {
			all[id] = append(all[id], n)
		}
	}
	for _, same := range all {
		slices.SortStableFunc(same, func(a, b *corev1.Node) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	}
	return all
}

// worstFirst is the order of nodes.
func worstFirst(a, b Node) int {
	odd := func(n Node) int {
		if n.Why != "" {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(odd(a), odd(b)), cmp.Compare(b.Gap, a.Gap), strings.Compare(a.Group, b.Group), strings.Compare(a.Name, b.Name))
}

// Sum adds nodes up.
func Sum(nodes []Node) (t Totals) {
	for i := range nodes {
		n := &nodes[i]
		if n.Why != "" {
			t.Odd++
			continue
		}
		t.Nodes++
		t.Pods += n.Pods
		t.Waiting += n.Waiting
		t.InUse += n.InUse
		t.Promised += n.Promised
		t.There += n.There
		t.Gap += max(0, n.Gap)
		t.Unseen += max(0, -n.Gap)
		t.Hang += n.Hang
		t.Cooling += orZero(n.Cooling)
		t.Advertised += orZero(n.Advertised)
	}
	return t
}

func orZero(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// share divides what each subnet can give among its nodes, a block each in turn, so that
// no block is promised twice. Each node stands for itself in the allocator, where the
// first bind takes it.
func share(books []*book, shown Shown) {
	left := map[string][2]int{}
	for id, s := range shown.Subnets {
		if s.Err != nil {
			continue
		}
		m := s.Map()
		m.Hide(s.Available)
		left[id] = [2]int{ledger.SecondaryIP: m.Room(ledger.SecondaryIP), ledger.Prefix: m.Room(ledger.Prefix)}
	}
	for given := true; given; {
		given = false
		for _, b := range books {
			room := left[b.shown.Subnet]
			if b.claim >= b.counts.Open || room[b.counts.Mode] <= 0 {
				continue
			}
			b.claim++
			given = true
			room[b.counts.Mode]--
			left[b.shown.Subnet] = room
		}
	}
}

// groupLabels name the group of a node, by those who make nodes.
var groupLabels = []string{
	"eks.amazonaws.com/nodegroup", "alpha.eksctl.io/nodegroup-name", "karpenter.sh/nodepool", "kops.k8s.io/instancegroup",
}

func group(n *corev1.Node) string {
	for _, l := range groupLabels {
		if g := n.Labels[l]; g != "" {
			return g
		}
	}
	return cmp.Or(n.Labels[corev1.LabelInstanceTypeStable], "Windows nodes")
}

// live are the pods of a node that have not ended.
func live(all []Pod) []Pod {
	return slices.DeleteFunc(slices.Clone(all), func(p Pod) bool { return !p.Ended.IsZero() })
}

// names are the pods by their UID.
func names(all []Pod) map[types.UID]types.NamespacedName {
	byUID := map[types.UID]types.NamespacedName{}
	for _, p := range all {
		byUID[p.UID] = p.Key
	}
	return byUID
}

// Groups lists the names of all node groups in order.
func (c *Cluster) Groups() []string {
	seen := map[string]bool{}
	for i := range c.Nodes {
		seen[c.Nodes[i].Group] = true
	}
	return slices.Sorted(maps.Keys(seen))
}
