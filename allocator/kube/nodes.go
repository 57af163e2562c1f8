package kube

import (
	"context"
	"encoding/json"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// NewNodes uses Node objects through a client.
func NewNodes(client kubernetes.Interface) Nodes { return nodes{client} }

type nodes struct{ client kubernetes.Interface }

// Advertise writes capacity and allocatable, as the kubelet copies one to the other only
// at its next status sync.
func (n nodes) Advertise(ctx context.Context, node string, a Advert) error {
	total := map[corev1.ResourceName]string{a.Resource: strconv.Itoa(a.Total)}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": a.Annotations},
		"status":   map[string]any{"capacity": total, "allocatable": total},
	})
	if err != nil {
		return err
	}
	return withDeadline(ctx, n.client.CoreV1().RESTClient().Patch(types.MergePatchType)).
		Resource("nodes").Name(node).SubResource("status").
		Body(patch).Do(ctx).Error()
}
