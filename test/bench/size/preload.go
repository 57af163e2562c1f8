package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
)

const (
	namespace    = "load"
	instanceType = "m5.xlarge"
	// perSubnet is how many nodes share a subnet, of 1,024 prefixes.
	perSubnet = 500
	// writers is how many objects are created at once.
	writers = 64
	// told is after how many objects one is told of progress.
	told = 10_000
)

// preload creates the nodes and the pods that run on them, past the scheduler and, as it is
// not installed yet, the webhook. Without an EC2 the pods ask for no addresses.
func (o options) preload(ctx context.Context, c *controlplane.Cluster, ec2 *ec2sim.Server, nodes int) error {
	o.say("%d nodes with %d pods each are created", nodes, o.running)
	if err := c.Kubelets.Stop(); err != nil {
		return err
	}
	if err := c.CreateNamespace(ctx, namespace); err != nil {
		return err
	}
	if ec2 != nil {
		for i := range (nodes + perSubnet - 1) / perSubnet {
			if err := ec2.AddSubnet(subnet(i*perSubnet), testenv.Zone, cidr(i)); err != nil {
				return err
			}
		}
	}
	var created atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range nodes {
		group.Go(func() error {
			defer func() {
				if n := created.Add(int64(1 + o.running)); n/told != (n-int64(1+o.running))/told {
					o.say("%d objects of %d", n, nodes*(1+o.running))
				}
			}()
			return o.node(ctx, c, ec2, i)
		})
	}
	return group.Wait()
}

// cidr is that of a subnet: four to a /16.
func cidr(subnet int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(64 + subnet/4), byte(64 * (subnet % 4)), 0}), 18)
}

// subnet is that of a node.
func subnet(node int) string { return "subnet-" + strconv.Itoa(node/perSubnet) }

func name(node int) string { return "win-" + strconv.Itoa(node) }

// node creates one node, with its instance and its pods.
func (o options) node(ctx context.Context, c *controlplane.Cluster, ec2 *ec2sim.Server, i int) error {
	instance := fmt.Sprintf("i-%017x", i+1)
	var free []netip.Addr
	if ec2 != nil {
		eni, err := ec2.AddInstance(ec2sim.Instance{ID: instance, Type: instanceType, Subnet: subnet(i)})
		if err != nil {
			return err
		}
		given, err := ec2.Assign(eni.ID, ec2sim.Request{PrefixCount: 1})
		if err != nil {
			return err
		}
		for a := given.Prefixes[0].Addr(); given.Prefixes[0].Contains(a); a = a.Next() {
			free = append(free, a)
		}
	}
	created, err := c.Client.CoreV1().Nodes().Create(ctx, nodeObject(i, instance), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	created.Spec.Taints = nil // not-ready, as admission has it until somebody finds otherwise
	if _, err := c.Client.CoreV1().Nodes().Update(ctx, created, metav1.UpdateOptions{}); err != nil {
		return err
	}
	for j := range o.running {
		p := testenv.Pod(namespace, fmt.Sprintf("%s-%d", name(i), j))
		p.Spec.NodeName = name(i)
		if ec2 != nil {
			p.Annotations = map[string]string{vpc.Annotation: netip.PrefixFrom(free[j], 32).String()}
			one := corev1.ResourceList{vpc.Resource: resource.MustParse("1")}
			p.Spec.Containers[0].Resources.Limits = one
			p.Spec.Containers[0].Resources.Requests[vpc.Resource] = one[vpc.Resource]
		}
		if _, err := c.Client.CoreV1().Pods(namespace).Create(ctx, p, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// nodeObject is a Windows node whose addresses alone are short.
func nodeObject(i int, instance string) *corev1.Node {
	resources := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("1000"),
		corev1.ResourceMemory: resource.MustParse("1Ti"),
		corev1.ResourcePods:   resource.MustParse("250"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name(i), Labels: map[string]string{
			corev1.LabelHostname: name(i), corev1.LabelOSStable: string(corev1.Windows), corev1.LabelArchStable: "amd64",
			corev1.LabelInstanceTypeStable: instanceType, corev1.LabelTopologyZone: testenv.Zone,
		}},
		Spec: corev1.NodeSpec{ProviderID: "aws:///" + testenv.Zone + "/" + instance},
		Status: corev1.NodeStatus{
			Capacity: resources, Allocatable: resources,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}
