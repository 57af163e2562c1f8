package controlplane

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"strconv"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Node describes a node to be added. Only the name is needed.
type Node struct {
	Name string
	// ProviderID is how the node is known to EC2: aws:///<zone>/<instance id>.
	// Default: an instance id made from the name.
	ProviderID string
	// InstanceType is the EC2 instance type. Default: t3.xlarge.
	InstanceType string
	// Zone is the availability zone. Default: us-west-2a.
	Zone string
	// Address is the node's own IP address. Default: none.
	Address string
	// Windows makes it a Windows node. Default: Linux.
	Windows bool
	// Pods is how many pods it takes. Default: 500, and 110 on Windows, as the
	// kubelet has it there.
	Pods int64
	// Labels are added to the usual ones, and win.
	Labels map[string]string
	Taints []corev1.Taint
}

// AddNode adds a node and returns it once pods can be scheduled to it.
func (c *Cluster) AddNode(ctx context.Context, n Node) (*corev1.Node, error) {
	nodes := c.Client.CoreV1().Nodes()
	if _, err := nodes.Create(ctx, n.object(), metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("add node %s: %w", n.Name, err)
	}
	var node *corev1.Node
	err := poll(ctx, "node "+n.Name+" is ready", func(ctx context.Context) (err error) {
		if node, err = nodes.Get(ctx, n.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		return schedulable(node)
	})
	return node, err
}

// AddNodes adds many nodes, several at a time.
func (c *Cluster) AddNodes(ctx context.Context, nodes ...Node) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, n := range nodes {
		group.Go(func() error {
			_, err := c.AddNode(ctx, n)
			return err
		})
	}
	return group.Wait()
}

// DeleteNode removes a node. Pods bound to it stay, as there is no pod garbage
// collector. A Windows node loses only its Node: its kubelet goes on, as that of a
// machine that lives.
func (c *Cluster) DeleteNode(ctx context.Context, name string) error {
	if err := c.Client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("delete node %s: %w", name, err)
	}
	return nil
}

// schedulable returns why no pod can be scheduled to a node yet.
func schedulable(node *corev1.Node) error {
	for _, taint := range node.Spec.Taints {
		if taint.Key == corev1.TaintNodeNotReady {
			return errors.New("it has the taint " + taint.Key)
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return errors.New("it is not Ready")
}

// object returns the Node as its kubelet would register it.
func (n Node) object() *corev1.Node {
	n = n.withDefaults()
	os := corev1.Linux
	if n.Windows {
		os = corev1.Windows
	}
	labels := map[string]string{
		corev1.LabelHostname:           n.Name,
		corev1.LabelOSStable:           string(os),
		corev1.LabelArchStable:         "amd64",
		corev1.LabelInstanceTypeStable: n.InstanceType,
		corev1.LabelTopologyZone:       n.Zone,
		corev1.LabelTopologyRegion:     n.Zone[:len(n.Zone)-1],
	}
	maps.Copy(labels, n.Labels)

	resources := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("1000"),
		corev1.ResourceMemory: resource.MustParse("1Ti"),
		corev1.ResourcePods:   *resource.NewQuantity(n.Pods, resource.DecimalSI),
	}
	status := corev1.NodeStatus{
		Capacity:    resources,
		Allocatable: resources,
		NodeInfo:    corev1.NodeSystemInfo{OperatingSystem: string(os), Architecture: "amd64"},
	}
	if n.Address != "" {
		status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.Address}}
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: labels},
		Spec:       corev1.NodeSpec{ProviderID: n.ProviderID, Taints: n.Taints},
		Status:     status,
	}
}

func (n Node) withDefaults() Node {
	if n.InstanceType == "" {
		n.InstanceType = "t3.xlarge"
	}
	if n.Zone == "" {
		n.Zone = "us-west-2a"
	}
	if n.Pods == 0 {
		n.Pods = defaultPods(n.Windows)
	}
	if n.ProviderID == "" {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(n.Name)) // never fails
		n.ProviderID = "aws:///" + n.Zone + "/i-0" + strconv.FormatUint(hash.Sum64(), 16)
	}
	return n
}

// defaultPods is the max-pods of a kubelet that is told nothing: 110
// (pkg/kubelet/apis/config/v1beta1/defaults.go). Linux nodes take more, so that they are
// never what a test waits for.
func defaultPods(windows bool) int64 {
	if windows {
		return 110
	}
	return 500
}
