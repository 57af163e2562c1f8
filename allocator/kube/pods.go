package kube

import (
	"context"
	"encoding/json"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"slotwise.dev/slotwise/allocator/vpc"
)

// NewPods uses pods through a client.
func NewPods(client kubernetes.Interface) Pods { return pods{client} }

type pods struct{ client kubernetes.Interface }

func (p pods) Get(ctx context.Context, pod types.NamespacedName) (*corev1.Pod, error) {
	return p.client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
}

func (p pods) OnNode(ctx context.Context, node string) ([]corev1.Pod, error) {
	list, err := p.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: bound(fields.OneTermEqualSelector("spec.nodeName", node)),
	})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// Bind: the API server copies the annotations of a Binding onto the pod in the same write
// (Kubernetes: pkg/registry/core/pod/storage/storage.go, setPodNodeAndMetadata).
func (p pods) Bind(ctx context.Context, b Binding) error {
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.Pod.Namespace, Name: b.Pod.Name, UID: b.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: b.Node},
	}
	if b.Address.IsValid() {
		binding.Annotations = map[string]string{vpc.Annotation: b.Address.String()}
	}
	return withDeadline(ctx, p.client.CoreV1().RESTClient().Post()).
		Namespace(b.Pod.Namespace).Resource("pods").Name(b.Pod.Name).SubResource("binding").
		Body(binding).Do(ctx).Error()
}

func (p pods) Annotate(ctx context.Context, pod types.NamespacedName, uid types.UID, address netip.Prefix) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":         uid,
		"annotations": map[string]string{vpc.Annotation: address.String()},
	}})
	if err != nil {
		return err
	}
	return withDeadline(ctx, p.client.CoreV1().RESTClient().Patch(types.MergePatchType)).
		Namespace(pod.Namespace).Resource("pods").Name(pod.Name).
		Body(patch).Do(ctx).Error()
}

func (p pods) Evict(ctx context.Context, pod types.NamespacedName, uid types.UID) error {
	eviction := &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}},
	}
	return withDeadline(ctx, p.client.CoreV1().RESTClient().Post()).
		Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("eviction").
		Body(eviction).Do(ctx).Error()
}

// BoundPods lists and watches the pods that are on a node.
func BoundPods(client kubernetes.Interface) cache.ListerWatcher {
	all := client.CoreV1().Pods(metav1.NamespaceAll)
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = bound()
			return all.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = bound()
			return all.Watch(ctx, o)
		},
	}, client)
}

// bound selects the pods that are on a node.
func bound(extra ...fields.Selector) string {
	return fields.AndSelectors(append(extra, fields.OneTermNotEqualSelector("spec.nodeName", ""))...).String()
}
