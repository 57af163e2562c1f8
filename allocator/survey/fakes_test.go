package survey

import (
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
)

// now is the moment of all tests.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is a cluster of one subnet, in the making.
type world struct {
	Objects
	Shown
	last netip.Addr // of what was assigned
}

// newWorld makes a cluster in a mode, whose subnet is a /20.
func newWorld(mode ledger.Kind) *world {
	w := &world{
		Objects: Objects{Settings: settings.Settings{Enabled: true, Mode: mode}, Pods: map[string][]Pod{}},
		Shown:   Shown{Machines: map[string]Machine{}, Subnets: map[string]SubnetShown{}, At: now},
	}
	w.Subnets["subnet-1"] = SubnetShown{Subnet: cloud.Subnet{
		ID: "subnet-1", CIDR: netip.MustParsePrefix("10.0.0.0/20"), Available: 4091, Interfaces: map[string][]netip.Prefix{}, AsOf: now,
	}}
	w.last = netip.MustParseAddr("10.0.0.255")
	return w
}

// node adds a t3.xlarge with so many secondary IPs and prefixes.
func (w *world) node(name string, ips, prefixes int) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{vpc.LabelOS: vpc.Windows}},
		Spec:       corev1.NodeSpec{ProviderID: "aws:///z/i-" + name},
		Status:     corev1.NodeStatus{Allocatable: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("250")}},
	}
	w.Nodes = append(w.Nodes, n)
	w.Machines["i-"+name] = Machine{
		Instance: cloud.Instance{ID: "i-" + name, Type: "t3.xlarge", PrimaryENI: "eni-" + name, SubnetID: "subnet-1"},
		Limits:   cloud.Limits{AddressesPerInterface: 15, Nitro: true},
	}
	s := w.Subnets["subnet-1"]
	s.Interfaces["eni-"+name] = nil
	w.take("eni-"+name, ips, 32)
	w.take("eni-"+name, prefixes, 28)
	return n
}

// take assigns blocks, each in a /28 of its own.
func (w *world) take(eni string, n, bits int) {
	s := w.Subnets["subnet-1"]
	for range n {
		w.last = netip.PrefixFrom(w.last, 28).Masked().Addr()
		for range 16 {
			w.last = w.last.Next()
		}
		b := netip.PrefixFrom(w.last, bits)
		s.Interfaces[eni] = append(s.Interfaces[eni], b)
		s.Used = append(s.Used, b)
		s.Holders = append(s.Holders, cloud.Holder{Interface: eni, Blocks: []netip.Prefix{b}})
	}
	w.Subnets["subnet-1"] = s
}

// run has pods on a node hold the first addresses of its blocks, one block after the other.
func (w *world) run(node string, n int) {
	for _, b := range w.Subnets["subnet-1"].Interfaces["eni-"+node] {
		for a := b.Addr(); b.Contains(a) && n > 0; a = a.Next() {
			w.pod(node, a, ledger.KindOf(b))
			n--
		}
	}
}

// pod adds a pod that holds an address; an invalid one: it waits.
func (w *world) pod(node string, a netip.Addr, k ledger.Kind) *Pod {
	i := len(w.Pods[node])
	name := fmt.Sprintf("%s-%d", node, i)
	w.Pods[node] = append(w.Pods[node], Pod{Seen: now.Add(-time.Hour), Pod: pods.Pod{
		UID: types.UID(name), Key: types.NamespacedName{Namespace: "shop", Name: name}, Node: node, Address: a, Kind: k, Wants: true,
	}})
	return &w.Pods[node][i]
}

// only is the one node of a cluster.
func (w *world) only() Node { return w.cluster().Nodes[0] }

func (w *world) cluster() *Cluster { return Take(w.Objects, w.Shown, now) }
