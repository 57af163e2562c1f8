package bed

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/advertise"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
)

// groupLabel is the label of nodes that belong together; see Group and OnGroup.
const groupLabel = "bed.slotwise.dev/group"

// Group makes a node one of a group, for pods that are OnGroup.
func Group(name string) func(*controlplane.Node) {
	return func(n *controlplane.Node) { n.Labels = map[string]string{groupLabel: name} }
}

// MaxPods is how many pods a node takes, where the 110 of a kubelet that is told
// nothing are too few.
func MaxPods(n int64) func(*controlplane.Node) {
	return func(node *controlplane.Node) { node.Pods = n }
}

// AddNode starts an EC2 instance that joins the cluster as a Windows node,
// changed by each of edits, and returns once Slotwise advertises its capacity.
// The result is the id of its primary network interface.
func (b *Bed) AddNode(ctx context.Context, name, instanceType, subnet string, edits ...func(*controlplane.Node)) (eni string, err error) {
	id := instanceID(name)
	i, err := b.EC2.AddInstance(ec2sim.Instance{ID: id, Type: instanceType, Subnet: subnet})
	if err != nil {
		return "", err
	}
	n := controlplane.Node{
		Name: name, ProviderID: "aws:///" + Zone + "/" + id, InstanceType: instanceType, Windows: true,
	}
	for _, edit := range edits {
		edit(&n)
	}
	if _, err := b.Cluster.AddNode(ctx, n); err != nil {
		return "", err
	}
	return i.ID, b.Until(ctx, "node "+name+" advertises its capacity", func(ctx context.Context) error {
		_, err := b.Capacity(ctx, name)
		return err
	})
}

// instanceID is the EC2 instance of a node that AddNode makes.
func instanceID(node string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(node)) // never fails
	return fmt.Sprintf("i-%017x", h.Sum64()&0xfffffffffffffff)
}

// Interface is what the primary network interface of a node has in EC2 now;
// none for a node that AddNode has not made.
func (b *Bed) Interface(node string) ec2sim.Interface {
	for _, i := range b.EC2.Interfaces() {
		if i.Device == 0 && i.Instance == instanceID(node) {
			return i
		}
	}
	return ec2sim.Interface{}
}

// AddNodes adds nodes name-0 to name-(n-1), several at a time.
func (b *Bed) AddNodes(ctx context.Context, name string, n int, instanceType, subnet string, edits ...func(*controlplane.Node)) (names []string, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range n {
		names = append(names, name+"-"+strconv.Itoa(i))
		group.Go(func() error {
			_, err := b.AddNode(ctx, names[i], instanceType, subnet, edits...)
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
func (b *Bed) Capacity(ctx context.Context, node string) (Capacity, error) {
	var n corev1.Node
	if err := b.Kube.Get(ctx, client.ObjectKey{Name: node}, &n); err != nil {
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

// Pod is a Windows pod as a user writes it: nothing in it speaks of addresses.
func Pod(namespace, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{corev1.LabelOSStable: "windows"},
			Containers: []corev1.Container{{
				Name: "main", Image: "mcr.microsoft.com/oss/kubernetes/pause:3.10",
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m")}},
			}},
		},
	}
}

// CreatePods creates the pods name-0 to name-(n-1), changed by each of edits.
func (b *Bed) CreatePods(ctx context.Context, namespace, name string, n int, edits ...func(*corev1.Pod)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range n {
		p := Pod(namespace, name+"-"+strconv.Itoa(i))
		for _, edit := range edits {
			edit(p)
		}
		group.Go(func() error { return b.Kube.Create(ctx, p) })
	}
	return group.Wait()
}

// OnNode places pods on one node.
func OnNode(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeSelector[corev1.LabelHostname] = name }
}

// OnGroup places pods on the nodes of a group.
func OnGroup(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeSelector[groupLabel] = name }
}

// Scheduler asks for a scheduler.
func Scheduler(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.SchedulerName = name }
}

// DeletePods deletes the pods name-0 to name-(n-1) at once.
func (b *Bed) DeletePods(ctx context.Context, namespace, name string, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range n {
		p := Pod(namespace, name+"-"+strconv.Itoa(i))
		group.Go(func() error { return b.Kube.Delete(ctx, p, client.GracePeriodSeconds(0)) })
	}
	return group.Wait()
}

// Tally counts the pods of a namespace, or of all namespaces.
type Tally struct {
	Pods    int
	Bound   int            // to a node
	Running int            // started: the kubelet had an address for them
	Bare    int            // bound without an address
	ByNode  map[string]int // running, by node
	Waiting []string       // those that neither run nor have ended, each with what it waits for
	// Rejected are those that their kubelet did not admit, each with what it said.
	Rejected []string
}

// Tally counts pods as the API server has them now.
func (b *Bed) Tally(ctx context.Context, namespace string) (Tally, error) {
	var pods corev1.PodList
	if err := b.Kube.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return Tally{}, err
	}
	t := Tally{Pods: len(pods.Items), ByNode: map[string]int{}}
	for i := range pods.Items {
		p := &pods.Items[i]
		if rejected(p) {
			t.Rejected = append(t.Rejected, fmt.Sprintf("%s/%s on %s: %s: %s", p.Namespace, p.Name, p.Spec.NodeName, p.Status.Reason, p.Status.Message))
		}
		if p.Status.Phase == corev1.PodPending {
			t.Waiting = append(t.Waiting, waitsFor(p))
		}
		if p.Spec.NodeName == "" {
			continue
		}
		t.Bound++
		if p.Annotations[vpc.Annotation] == "" {
			t.Bare++
		}
		if p.Status.Phase == corev1.PodRunning {
			t.Running++
			t.ByNode[p.Spec.NodeName]++
		}
	}
	return t, nil
}

// rejected says that the kubelet of a pod has not admitted it, for want of something
// or for a reason of its own (Kubernetes 1.37, pkg/kubelet/lifecycle/predicate.go).
func rejected(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodFailed &&
		(strings.HasPrefix(p.Status.Reason, "OutOf") || p.Status.Reason == "UnexpectedAdmissionError")
}

// AwaitRunning waits until n pods of a namespace run. It does not wait on where a
// kubelet has rejected one: that one never will.
func (b *Bed) AwaitRunning(ctx context.Context, namespace string, n int) error {
	return b.Until(ctx, fmt.Sprintf("%d pods run in %s", n, namespace), func(ctx context.Context) error {
		t, err := b.Tally(ctx, namespace)
		if err == nil && t.Running != n && len(t.Rejected) > 0 {
			return hopeless{fmt.Errorf("%d of %d pods run, kubelets have rejected %d: %s",
				t.Running, t.Pods, len(t.Rejected), strings.Join(t.Rejected[:min(3, len(t.Rejected))], "; "))}
		}
		if err == nil && t.Running != n {
			err = fmt.Errorf("%d of %d pods run, %d are bound; %d wait: %s",
				t.Running, t.Pods, t.Bound, len(t.Waiting), strings.Join(t.Waiting[:min(3, len(t.Waiting))], "; "))
		}
		return err
	})
}

// AwaitTurnedAway waits until n pods of a namespace have been turned away by the
// scheduler and no other is unbound, and returns what it says of one of them.
func (b *Bed) AwaitTurnedAway(ctx context.Context, namespace string, n int) (message string, err error) {
	err = b.Until(ctx, fmt.Sprintf("%d pods in %s are turned away", n, namespace), func(ctx context.Context) error {
		var pods corev1.PodList
		if err := b.Kube.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
			return err
		}
		unbound, turnedAway := 0, 0
		for i := range pods.Items {
			if pods.Items[i].Spec.NodeName != "" {
				continue
			}
			unbound++
			if text := refusal(&pods.Items[i]); text != "" {
				turnedAway++
				message = text
			}
		}
		if turnedAway != n || unbound != n {
			return fmt.Errorf("%d are, of %d that are not bound", turnedAway, unbound)
		}
		return nil
	})
	return message, err
}

// refusal is what the scheduler says of a pod that it has turned away; empty
// where it has not.
func refusal(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Message
		}
	}
	return ""
}

// waitsFor says what a pod that does not run waits for.
func waitsFor(p *corev1.Pod) string {
	switch name := p.Namespace + "/" + p.Name; {
	case p.Spec.NodeName == "":
		return name + " for a node: " + refusal(p)
	case p.Annotations[vpc.Annotation] == "":
		return name + " on " + p.Spec.NodeName + " for an address"
	default:
		return name + " on " + p.Spec.NodeName + " for its kubelet"
	}
}

// hopeless is what is wrong for good.
type hopeless struct{ error }

// Until waits, two minutes at the most, until check finds nothing wrong. What is
// hopeless it does not wait for.
func (b *Bed) Until(ctx context.Context, what string, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		err := check(ctx)
		if err == nil || ctx.Err() == nil { // the end of the wait tells nothing; what was wrong before does
			last = err
		}
		return err == nil || errors.As(err, new(hopeless)), nil
	})
	if err = errors.Join(err, last); err != nil {
		return fmt.Errorf("wait until %s: %w", what, err)
	}
	return nil
}
