package preflight

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/subnet"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/ec2sim"
)

// simulated is an EC2 with a subnet of two /28 blocks and a t3.xlarge in it, and a
// client of it.
func simulated(t *testing.T) (*ec2sim.Server, *cloud.Client) {
	t.Helper()
	sim := ec2sim.New(ec2sim.Options{})
	t.Cleanup(sim.Close)
	url, err := sim.Start("127.0.0.1:0")
	if err == nil {
		err = sim.AddSubnet("subnet-1", "eu-west-1a", netip.MustParsePrefix("10.0.0.0/26"))
	}
	if err == nil {
		_, err = sim.AddInstance(ec2sim.Instance{ID: "i-1", Type: "t3.xlarge", Subnet: "subnet-1"})
	}
	if err != nil {
		t.Fatal(err)
	}
	return sim, cloud.New(ec2.New(ec2.Options{
		Region: "eu-west-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
	}), cloud.Options{})
}

// windowsNode is a Windows Node that says to be an instance and takes so many pods.
func windowsNode(name, providerID string, maxPods int64) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{vpc.LabelOS: vpc.Windows}},
		Spec:       corev1.NodeSpec{ProviderID: providerID},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			corev1.ResourcePods: *resource.NewQuantity(maxPods, resource.DecimalSI),
		}},
	}
}

// pods are so many pods of the node "good".
func pods(n int, change func(*corev1.Pod)) []client.Object {
	var all []client.Object
	for i := range n {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("pod-", i)}, Spec: corev1.PodSpec{NodeName: "good"}}
		change(p)
		all = append(all, p)
	}
	return all
}

func TestLook(t *testing.T) {
	const good = "aws:///eu-west-1a/i-1"
	for name, c := range map[string]struct {
		nodes    []client.Object
		prepare  func(*ec2sim.Server) error
		forecast subnet.Forecast
		prefixes int
		hidden   int
		odd      []string
		unread   bool
	}{
		"14 slots": {
			nodes: []client.Object{windowsNode("good", good, 250)}, forecast: subnet.Forecast{Room: 2, Now: 1, Most: 14},
		},
		"a kubelet takes 110 pods: seven prefixes": {
			nodes: []client.Object{windowsNode("good", good, 110)}, forecast: subnet.Forecast{Room: 2, Now: 1, Most: 7},
		},
		"sixteen pods need a second prefix for the warm pool": {
			nodes: append(pods(16, func(*corev1.Pod) {}), windowsNode("good", good, 250)), forecast: subnet.Forecast{Room: 2, Now: 2, Most: 14},
		},
		"pods of other nodes, and such as have ended, need none": {
			nodes: slices.Concat(
				pods(16, func(p *corev1.Pod) { p.Spec.NodeName, p.Namespace = "linux", "elsewhere" }),
				pods(16, func(p *corev1.Pod) { p.Status.Phase, p.Namespace = corev1.PodFailed, "failed" }),
				pods(16, func(p *corev1.Pod) { p.Status.Phase, p.Namespace = corev1.PodSucceeded, "succeeded" }),
				[]client.Object{windowsNode("good", good, 250)},
			), forecast: subnet.Forecast{Room: 2, Now: 1, Most: 14},
		},
		"pods on the host's network need none, and the kubelet takes as many fewer others": {
			nodes:    append(pods(14, func(p *corev1.Pod) { p.Spec.HostNetwork = true }), windowsNode("good", good, 110)),
			forecast: subnet.Forecast{Room: 2, Now: 1, Most: 6},
		},
		"what the node has already it need not get": {
			nodes: []client.Object{windowsNode("good", good, 250)},
			prepare: func(sim *ec2sim.Server) error {
				_, err := sim.Assign(sim.Interfaces()[0].ID, ec2sim.Request{PrefixCount: 1})
				return err
			},
			forecast: subnet.Forecast{Room: 1, Now: 0, Most: 13}, prefixes: 1,
		},
		"odd nodes hide nothing": {
			nodes: []client.Object{
				windowsNode("good", good, 250), windowsNode("hybrid", "eks-hybrid:///x", 110), windowsNode("gone", "aws:///eu-west-1a/i-2", 110),
			},
			forecast: subnet.Forecast{Room: 2, Now: 1, Most: 14}, odd: []string{"node gone", "node hybrid"},
		},
		"a subnet shared with others": {
			nodes: []client.Object{windowsNode("good", good, 250)},
			prepare: func(sim *ec2sim.Server) error {
				_, err := sim.OccupyUnseen("subnet-1", netip.MustParsePrefix("10.0.0.16/28"), netip.MustParsePrefix("10.0.0.32/28"))
				return err
			},
			forecast: subnet.Forecast{Room: 1, Now: 1, Most: 14}, hidden: 32,
		},
		"reservations may not be read": {
			nodes: []client.Object{windowsNode("good", good, 250)},
			prepare: func(sim *ec2sim.Server) error {
				sim.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Action: "GetSubnetCidrReservations", Code: "UnauthorizedOperation"})
				return nil
			},
			forecast: subnet.Forecast{Room: 2, Now: 1, Most: 14}, unread: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim, ec2 := simulated(t)
			if c.prepare != nil {
				if err := c.prepare(sim); err != nil {
					t.Fatal(err)
				}
			}
			report, err := Look(t.Context(), ec2, fake.NewClientBuilder().WithObjects(c.nodes...).Build(), config.ManagedConfigMap)
			if err != nil || len(report.Subnets) != 1 {
				t.Fatalf("%+v, %v; want one subnet", report, err)
			}
			var odd []string
			for _, o := range report.Odd {
				odd = append(odd, o.Name)
			}
			got := report.Subnets[0]
			if diff := cmp.Diff(c.forecast, got.Forecast) + cmp.Diff(c.odd, odd); diff != "" || got.Hidden != c.hidden || got.Prefixes != c.prefixes || got.Nodes != 1 || (got.Unread != nil) != c.unread {
				t.Errorf("%d nodes with %d prefixes, %d addresses hidden; want one, %d and %d; unread: %v; differs (-want +got):\n%s",
					got.Nodes, got.Prefixes, got.Hidden, c.prefixes, c.hidden, got.Unread, diff)
			}
		})
	}
}

func TestLookOfNodesThatAreAllOdd(t *testing.T) {
	_, ec2 := simulated(t)
	kube := fake.NewClientBuilder().WithObjects(windowsNode("hybrid", "eks-hybrid:///x", 110)).Build()
	report, err := Look(t.Context(), ec2, kube, config.ManagedConfigMap)
	if err != nil || len(report.Subnets) != 0 || len(report.Odd) != 1 || errors.Is(report.Odd[0].Why, nil) {
		t.Errorf("%+v, %v; want one oddity with its reason", report, err)
	}
}

// TestLookAtSubnetWithoutNodes: one that was made for new nodes is looked at by its id.
func TestLookAtSubnetWithoutNodes(t *testing.T) {
	sim, ec2 := simulated(t)
	if err := sim.AddSubnet("subnet-2", "eu-west-1a", netip.MustParsePrefix("10.0.1.0/26")); err != nil {
		t.Fatal(err)
	}
	report, err := Look(t.Context(), ec2, fake.NewClientBuilder().Build(), config.ManagedConfigMap, "subnet-2", "subnet-9")
	if err != nil || len(report.Subnets) != 1 || report.Subnets[0].Forecast != (subnet.Forecast{Room: 2}) {
		t.Fatalf("%+v, %v; want room for 2 prefixes in one subnet", report, err)
	}
	if len(report.Odd) != 1 || report.Odd[0].Name != "subnet subnet-9" {
		t.Errorf("odd are %v, want the subnet that is not there", report.Odd)
	}
}

// TestSpoiled: others than Windows nodes are named, those that are won back most easily
// first.
func TestSpoiled(t *testing.T) {
	sim, ec2 := simulated(t)
	node := sim.Interfaces()[0].ID
	if _, err := sim.Assign(node, ec2sim.Request{AddressCount: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Occupy("subnet-1", netip.MustParsePrefix("10.0.0.17/32"), netip.MustParsePrefix("10.0.0.18/32"), netip.MustParsePrefix("10.0.0.40/32")); err != nil {
		t.Fatal(err)
	}
	report, err := Look(t.Context(), ec2, fake.NewClientBuilder().WithObjects(windowsNode("good", "aws:///eu-west-1a/i-1", 110)).Build(), config.ManagedConfigMap)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, x := range report.Subnets[0].Spoiled {
		got[x.Block.String()] = len(x.Holders)
		for _, h := range x.Holders {
			if h.Interface == node || len(h.Blocks) != 1 {
				t.Errorf("%s is spoiled by %+v", x.Block, h)
			}
		}
	}
	if diff := cmp.Diff(map[string]int{"10.0.0.16/28": 2, "10.0.0.32/28": 1}, got); diff != "" || report.Subnets[0].Spoiled[0].Block.String() != "10.0.0.32/28" {
		t.Errorf("holders by block, of which the first is %s (-want +got):\n%s", report.Subnets[0].Spoiled[0].Block, diff)
	}
}
