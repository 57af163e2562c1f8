// Package awsallocator plays AWS's controller for the addresses of Windows pods,
// as AWS documents it and as test environments need it: what Slotwise stands beside in
// mode observe.
//
// It advertises a constant for each node: its slots, or sixteen times as many in
// prefix mode. It keeps two pools on each interface, one of secondary IPs and one
// of prefixes, neither of which subtracts what the other has; what EC2 refuses, it
// tries again. A pod gets its address after it was bound, by a patch of its
// annotation; an address cools down for 30 s after its pod has ended.
//
// It changes interfaces past EC2's API, so that the log of calls is Slotwise's
// alone. Only tests come in.
package awsallocator

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"

	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/ec2sim"
)

// interval is between attempts: AWS's controller tries again after 600 ms.
const interval = 600 * time.Millisecond

// configMap is what users configure.
var configMap = types.NamespacedName{Namespace: "kube-system", Name: "amazon-vpc-cni"}

// allocator is the controller.
type allocator struct {
	kube  kubernetes.Interface
	ec2   *ec2sim.Server
	nodes map[string]*node

	nodeList listers.NodeLister
	podList  listers.PodLister
	configs  listers.ConfigMapLister
}

// Run keeps the addresses of all Windows nodes until ctx ends. It is an error
// when the API server does not do what it is asked.
func Run(ctx context.Context, kube kubernetes.Interface, ec2 *ec2sim.Server) error {
	factory := informers.NewSharedInformerFactory(kube, 0)
	core := factory.Core().V1()
	a := &allocator{
		kube: kube, ec2: ec2, nodes: map[string]*node{},
		nodeList: core.Nodes().Lister(), podList: core.Pods().Lister(), configs: core.ConfigMaps().Lister(),
	}
	factory.StartWithContext(ctx)
	factory.WaitForCacheSyncWithContext(ctx)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := a.reconcile(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// reconcile does what is to do on all nodes.
func (a *allocator) reconcile(ctx context.Context) error {
	users, err := a.settings()
	if err != nil || !users.Enabled {
		return err
	}
	nodes, err := a.nodeList.List(labels.SelectorFromSet(labels.Set{vpc.LabelOS: vpc.Windows}))
	if err != nil {
		return err
	}
	pods, err := a.podsByNode()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, object := range nodes {
		n := a.node(object)
		if n == nil {
			continue
		}
		group.Go(func() error { return a.advertise(ctx, object, n.capacity(users.Mode)) })
		for pod, address := range n.allocate(users, pods[object.Name], time.Now()) {
			group.Go(func() error { return a.annotate(ctx, pod, address) })
		}
	}
	return group.Wait()
}

func (a *allocator) settings() (settings.Settings, error) {
	cm, err := a.configs.ConfigMaps(configMap.Namespace).Get(configMap.Name)
	if apierrors.IsNotFound(err) {
		return settings.Settings{}, nil
	}
	if err != nil {
		return settings.Settings{}, err
	}
	s, _ := settings.Parse(cm.Data, settings.Settings{})
	return s, nil
}

// podsByNode are the live pods that ask for an address.
func (a *allocator) podsByNode() (map[string][]*corev1.Pod, error) {
	pods, err := a.podList.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	byNode := map[string][]*corev1.Pod{}
	for _, p := range pods {
		_, asks := p.Spec.Containers[0].Resources.Requests[vpc.Resource]
		if asks && p.Spec.NodeName != "" && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			byNode[p.Spec.NodeName] = append(byNode[p.Spec.NodeName], p)
		}
	}
	return byNode, nil
}

// node finds the state of a node; nil for one that EC2 does not know.
func (a *allocator) node(object *corev1.Node) *node {
	if n := a.nodes[object.Name]; n != nil {
		return n
	}
	_, instance, _ := strings.Cut(object.Spec.ProviderID, ":///")
	_, instance, _ = strings.Cut(instance, "/")
	for _, i := range a.ec2.Interfaces() {
		if i.Device == 0 && i.Instance == instance {
			a.nodes[object.Name] = newNode(a.ec2, i)
			return a.nodes[object.Name]
		}
	}
	return nil
}

// advertise writes a node's capacity.
func (a *allocator) advertise(ctx context.Context, node *corev1.Node, capacity int) error {
	if shown := node.Status.Allocatable[vpc.Resource]; shown.Value() == int64(capacity) {
		return nil
	}
	total := map[corev1.ResourceName]string{vpc.Resource: strconv.Itoa(capacity)}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"capacity": total, "allocatable": total}})
	if err != nil {
		return err
	}
	_, err = a.kube.CoreV1().Nodes().Patch(ctx, node.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// annotate writes a pod's address, unless the pod has ended.
func (a *allocator) annotate(ctx context.Context, pod *corev1.Pod, address string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": pod.UID, "annotations": map[string]string{vpc.Annotation: address},
	}})
	if err != nil {
		return err
	}
	_, err = a.kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
