package testenv

import (
	"context"
	"strconv"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

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
func (e *Env) CreatePods(ctx context.Context, namespace, name string, n int, edits ...func(*corev1.Pod)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range n {
		p := Pod(namespace, name+"-"+strconv.Itoa(i))
		for _, edit := range edits {
			edit(p)
		}
		group.Go(func() error { return e.Kube.Create(ctx, p) })
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
func (e *Env) DeletePods(ctx context.Context, namespace, name string, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range n {
		p := Pod(namespace, name+"-"+strconv.Itoa(i))
		group.Go(func() error { return e.Kube.Delete(ctx, p, client.GracePeriodSeconds(0)) })
	}
	return group.Wait()
}
