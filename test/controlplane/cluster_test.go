package controlplane_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/test/controlplane"
)

const (
	// settle is how long a test watches that nothing happens. Kubelets act within
	// some 10 ms.
	settle = 500 * time.Millisecond
	// awaitTimeout is how long a test waits for what must happen.
	awaitTimeout = 30 * time.Second
	address      = controlplane.AddressAnnotation
)

// cluster is shared by all tests of the package, with a scheduler without
// extenders.
var cluster *controlplane.Cluster

func TestMain(m *testing.M) {
	if dir := os.Getenv(orphanVariable); dir != "" {
		beOrphaned(dir)
	}
	start := time.Now()
	options := controlplane.Options{Audit: true, Kubelets: controlplane.Kubelets{NodeLag: nodeLag}}
	os.Exit(controlplane.Main(m, options, func(ctx context.Context, c *controlplane.Cluster) error {
		cluster = c
		fmt.Println("etcd, kube-apiserver and kubelets were ready after", time.Since(start).Round(time.Millisecond))
		_, err := c.StartScheduler(ctx, controlplane.Scheduler{})
		fmt.Println("and kube-scheduler after", time.Since(start).Round(time.Millisecond))
		return err
	}))
}

// newPod returns a pod that only nodes with its namespace as their label take, so
// that tests do not meet.
func newPod(namespace, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PodSpec{
			Containers:   []corev1.Container{{Name: "main", Image: "example"}},
			NodeSelector: map[string]string{"test": namespace},
		},
	}
}

func create(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	pod, err := cluster.Client.CoreV1().Pods(pod.Namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// bind creates a pod that waits for a scheduler that is not there, and binds it
// with annotations, to any node.
func bind(t *testing.T, pod *corev1.Pod, node string, annotations map[string]string) {
	t.Helper()
	pod.Spec.SchedulerName, pod.Spec.NodeSelector = "nobody", nil
	create(t, pod)
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Annotations: annotations},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}
	if err := cluster.Client.CoreV1().Pods(pod.Namespace).Bind(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// awaitPod waits until a pod is as check wants it, which it says by nil.
func awaitPod(t *testing.T, namespace, name string, check func(*corev1.Pod) error) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	await(t, func(ctx context.Context) (err error) {
		if pod, err = cluster.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		return check(pod)
	})
	return pod
}

// awaitGone waits until a pod is not there.
func awaitGone(t *testing.T, namespace, name string) {
	t.Helper()
	await(t, func(ctx context.Context) error {
		_, err := cluster.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the pod is there"), err)
	})
}

// await waits until check returns nil, or lets the test fail by what it returned
// last.
func await(t *testing.T, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), awaitTimeout)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// inPhase checks that a pod is in a phase.
func inPhase(want corev1.PodPhase) func(*corev1.Pod) error {
	return func(pod *corev1.Pod) error {
		if pod.Status.Phase != want {
			return fmt.Errorf("pod %s on node %q is %s, want %s", pod.Name, pod.Spec.NodeName, pod.Status.Phase, want)
		}
		return nil
	}
}

// stays checks that a pod is still in a phase after a while.
func stays(t *testing.T, namespace, name string, phase corev1.PodPhase) {
	t.Helper()
	time.Sleep(settle)
	pod, err := cluster.Client.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := inPhase(phase)(pod); err != nil {
		t.Fatal(err)
	}
}
