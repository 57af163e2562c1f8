package manifests

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/controlplane"
)

// cluster has the base installed.
var cluster *controlplane.Cluster

func TestMain(m *testing.M) {
	os.Exit(controlplane.Main(m, controlplane.Options{}, func(ctx context.Context, c *controlplane.Cluster) error {
		cluster = c
		return errors.Join(createSettings(ctx), installBase(ctx), awaitGuards(ctx))
	}))
}

func installBase(ctx context.Context) error {
	c, err := client.New(cluster.Admin, client.Options{})
	if err != nil {
		return err
	}
	objects, err := Build("base")
	if err != nil {
		return err
	}
	return Apply(ctx, c, objects)
}

// awaitGuards returns once the API server has compiled the policies and obeys them,
// which it does a moment after they were applied.
func awaitGuards(ctx context.Context) error {
	return wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := cluster.Client.CoreV1().Pods("default").Create(ctx, newPod(addressed("10.0.0.1/32")), metav1.CreateOptions{DryRun: dryRun})
		return apierrors.IsForbidden(err) && apierrors.IsInvalid(createMisread(ctx, awsSettings)), nil
	})
}

// clientOf returns a client that acts as the owner of the kubeconfig file.
func clientOf(t *testing.T, kubeconfig string, err error) kubernetes.Interface {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newPod(annotations map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "pod-", Annotations: annotations},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "pause"}}},
	}
}

func addressed(address string) map[string]string {
	return map[string]string{vpc.Annotation: address}
}
