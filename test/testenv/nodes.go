package testenv

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/advertise"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
)

// groupLabel is the label of nodes that belong together; see Group and OnGroup.
const groupLabel = "testenv.slotwise.dev/group"

// Group makes a node one of a group, for pods that are OnGroup.
func Group(name string) func(*controlplane.Node) {
	return func(n *controlplane.Node) { n.Labels = map[string]string{groupLabel: name} }
}

// MaxPods is how many pods a node takes, where the 110 of a kubelet that is told
// nothing are too few.
func MaxPods(n int64) func(*controlplane.Node) {
	return func(node *controlplane.Node) { node.Pods = n }
}

// AddNode is JoinNode, and returns once Slotwise advertises the node's capacity.
func (e *Env) AddNode(ctx context.Context, name, instanceType, subnet string, edits ...func(*controlplane.Node)) (eni string, err error) {
	if eni, err = e.JoinNode(ctx, name, instanceType, subnet, edits...); err != nil {
		return "", err
	}
	return eni, e.Until(ctx, "node "+name+" advertises its capacity", func(ctx context.Context) error {
		_, err := e.Capacity(ctx, name)
		return err
	})
}

// JoinNode starts an EC2 instance that joins the cluster as a Windows node,
// changed by each of edits. The result is the id of its primary network interface.
func (e *Env) JoinNode(ctx context.Context, name, instanceType, subnet string, edits ...func(*controlplane.Node)) (eni string, err error) {
	id := instanceID(name)
	i, err := e.EC2.AddInstance(ec2sim.Instance{ID: id, Type: instanceType, Subnet: subnet})
	if err != nil {
		return "", err
	}
	e.tellNode(name, i)
	n := controlplane.Node{
		Name: name, ProviderID: "aws:///" + Zone + "/" + id, InstanceType: instanceType, Windows: true,
	}
	for _, edit := range edits {
		edit(&n)
	}
	_, err = e.Cluster.AddNode(ctx, n)
	return i.ID, err
}

// instanceID is the EC2 instance of a node that AddNode makes.
func instanceID(node string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(node)) // never fails
	return fmt.Sprintf("i-%017x", h.Sum64()&0xfffffffffffffff)
}

// Interface is what the primary network interface of a node has in EC2 now;
// none for a node that AddNode has not made.
func (e *Env) Interface(node string) ec2sim.Interface {
	for _, i := range e.EC2.Interfaces() {
		if i.Device == 0 && i.Instance == instanceID(node) {
			return i
		}
	}
	return ec2sim.Interface{}
}

// AddNodes adds nodes name-0 to name-(n-1), several at a time.
func (e *Env) AddNodes(ctx context.Context, name string, n int, instanceType, subnet string, edits ...func(*controlplane.Node)) (names []string, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range n {
		names = append(names, name+"-"+strconv.Itoa(i))
		group.Go(func() error {
			_, err := e.AddNode(ctx, names[i], instanceType, subnet, edits...)
			return err
		})
	}
	return names, group.Wait()
}

// Capacity is what a node shows to the scheduler.
type Capacity struct {
	Advertised int // capacity and allocatable, which must be equal
	Remaining  int // as Slotwise annotates it
}

// Capacity reads what a node shows; it is an error where it shows nothing, or
// capacity and allocatable differ.
func (e *Env) Capacity(ctx context.Context, node string) (Capacity, error) {
	var n corev1.Node
	if err := e.Kube.Get(ctx, client.ObjectKey{Name: node}, &n); err != nil {
		return Capacity{}, err
	}
	return CapacityOf(&n)
}

// CapacityOf is what Capacity reads out of a Node.
func CapacityOf(n *corev1.Node) (Capacity, error) {
	total, has := n.Status.Capacity[vpc.Resource]
	allocatable := n.Status.Allocatable[vpc.Resource]
	if !has || total.Cmp(allocatable) != 0 {
		return Capacity{}, fmt.Errorf("node %s shows capacity %s and allocatable %s", n.Name, total.String(), allocatable.String())
	}
	remaining, err := strconv.Atoi(n.Annotations[advertise.AnnotationRemaining])
	if err != nil {
		return Capacity{}, fmt.Errorf("node %s: %w", n.Name, err)
	}
	return Capacity{Advertised: int(total.Value()), Remaining: remaining}, nil
}
