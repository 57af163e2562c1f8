package apiserver

import (
	"context"
	"maps"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/vpc"
)

var (
	_ kube.Pods      = PodsPort{}
	_ kube.Nodes     = NodesPort{}
	_ kube.NodeSlots = NodeSlotsPort{}
)

type (
	// Binding is that of allocator/kube.
	Binding = kube.Binding
	// Advert is that of allocator/kube.
	Advert = kube.Advert
)

// PodsPort implements kube.Pods.
type PodsPort struct{ client *Client }

// Get reads a pod.
func (p PodsPort) Get(ctx context.Context, pod types.NamespacedName) (*corev1.Pod, error) {
	found, err := p.client.server.Pods().Via(p.client).Get(ctx, pod)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// OnNode lists the pods that are bound to a node, finished ones too.
func (p PodsPort) OnNode(ctx context.Context, node string) ([]corev1.Pod, error) {
	found, _, err := p.client.server.Pods().Via(p.client).List(ctx, ListOptions[*corev1.Pod]{
		Match: func(x *corev1.Pod) bool { return x.Spec.NodeName == node },
	})
	if err != nil {
		return nil, err
	}
	pods := make([]corev1.Pod, len(found))
	for i, x := range found {
		pods[i] = *x
	}
	return pods, nil
}

// Bind posts a binding.
func (p PodsPort) Bind(ctx context.Context, b kube.Binding) error {
	a := Assignment{Pod: b.Pod, UID: b.UID, Node: b.Node}
	if b.Address.IsValid() {
		a.Annotations = map[string]string{vpc.Annotation: b.Address.String()}
	}
	return p.client.Bind(limited(ctx), a)
}

// Bind posts a Binding, as any scheduler does.
func (c *Client) Bind(ctx context.Context, a Assignment) error {
	return c.write(ctx, func(t transaction) error { return t.bind(a) })
}

// Annotate writes an address on a pod, with its UID in the patch.
func (p PodsPort) Annotate(ctx context.Context, pod types.NamespacedName, uid types.UID, address netip.Prefix) error {
	text := address.String()
	_, err := p.client.server.Pods().Via(p.client).Change(limited(ctx), pod, uid, func(x *corev1.Pod) error {
		if x.Annotations[vpc.Annotation] == text {
			return ErrUnchanged
		}
		annotate(x, map[string]string{vpc.Annotation: text})
		return nil
	})
	return err
}

// Evict evicts a pod.
func (p PodsPort) Evict(ctx context.Context, pod types.NamespacedName, uid types.UID) error {
	return p.client.write(limited(ctx), func(t transaction) error { return t.evict(pod, uid) })
}

// NodesPort implements kube.Nodes.
type NodesPort struct{ client *Client }

// Advertise patches nodes/status: capacity, allocatable and annotations. The subresource
// keeps nothing but the spec: pkg/registry/core/node/strategy.go (nodeStatusStrategy).
func (p NodesPort) Advertise(ctx context.Context, node string, a kube.Advert) error {
	total, annotations := *resource.NewQuantity(int64(a.Total), resource.DecimalSI), maps.Clone(a.Annotations)
	_, err := p.client.server.Nodes().Via(p.client).Change(limited(ctx), types.NamespacedName{Name: node}, "", func(n *corev1.Node) error {
		if shows(n.Status.Capacity, a.Resource, total) && shows(n.Status.Allocatable, a.Resource, total) && contains(n.Annotations, annotations) {
			return ErrUnchanged
		}
		show(&n.Status.Capacity, a.Resource, total)
		show(&n.Status.Allocatable, a.Resource, total)
		annotate(n, annotations)
		return nil
	})
	return err
}

func shows(l corev1.ResourceList, name corev1.ResourceName, total resource.Quantity) bool {
	q, has := l[name]
	return has && q.Cmp(total) == 0
}

func show(l *corev1.ResourceList, name corev1.ResourceName, total resource.Quantity) {
	if *l == nil {
		*l = corev1.ResourceList{}
	}
	(*l)[name] = total
}

func contains(m, part map[string]string) bool {
	for key, value := range part {
		if m[key] != value {
			return false
		}
	}
	return true
}

func annotate(o Object, with map[string]string) {
	all := o.GetAnnotations()
	if all == nil {
		all = map[string]string{}
		o.SetAnnotations(all)
	}
	maps.Copy(all, with)
}
