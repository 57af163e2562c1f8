package main

import (
	"context"
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

const (
	// hands is how many requests there are at once, of all kubelets together. Each
	// waits for the API server, so more of them cost nothing.
	hands = 64
	// requestTimeout is how long a request may take: the API server may hang.
	requestTimeout = 10 * time.Second
)

// writer tells the API server what kubelets have to say, again and again until it
// is heard.
type writer struct {
	client kubernetes.Interface
	hands  chan struct{}
}

func newWriter(client kubernetes.Interface) *writer {
	return &writer{client: client, hands: make(chan struct{}, hands)}
}

// publish patches the status of a pod. As a precondition it is still the same one.
func (w *writer) publish(ctx context.Context, p *corev1.Pod, s corev1.PodStatus) {
	patch := encode(map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": s})
	w.insist(ctx, "publish the status of pod "+p.Namespace+"/"+p.Name, func(ctx context.Context) error {
		_, err := w.client.CoreV1().Pods(p.Namespace).
			Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		return err
	})
}

// remove deletes the object of a pod, whose end was published
// (status/status_manager.go syncPod).
func (w *writer) remove(ctx context.Context, p *corev1.Pod) {
	options := metav1.NewDeleteOptions(0)
	options.Preconditions = metav1.NewUIDPreconditions(string(p.UID))
	w.insist(ctx, "remove pod "+p.Namespace+"/"+p.Name, func(ctx context.Context) error {
		return w.client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, *options)
	})
}

// patchNode patches a Node, or its status. If another version is there than the patch
// was made for, it is dropped: that version is on its way here.
func (w *writer) patchNode(ctx context.Context, name string, change map[string]any, subresources ...string) {
	patch := encode(change)
	w.insist(ctx, "patch node "+name, func(ctx context.Context) error {
		_, err := w.client.CoreV1().Nodes().
			Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, subresources...)
		if apierrors.IsConflict(err) {
			return nil
		}
		return err
	})
}

// insist makes a request until it is answered, or ctx ends. Even a refusal need not
// be the last word: an API server that has just started forbids everything.
func (w *writer) insist(ctx context.Context, what string, request func(context.Context) error) {
	for ctx.Err() == nil {
		err := w.try(ctx, request)
		if err == nil || apierrors.IsNotFound(err) {
			return
		}
		if apierrors.IsInvalid(err) {
			klog.ErrorS(err, "Cannot "+what)
			return
		}
		klog.V(1).ErrorS(err, "Cannot yet "+what)
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

func (w *writer) try(ctx context.Context, request func(context.Context) error) error {
	w.hands <- struct{}{}
	defer func() { <-w.hands }()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return request(ctx)
}

// encode encodes a patch of types that can be encoded.
func encode(patch map[string]any) []byte {
	text, err := json.Marshal(patch)
	if err != nil {
		panic(err)
	}
	return text
}
