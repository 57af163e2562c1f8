package controlplane_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/controlplane"
)

// nodeLag is that of the kubelets in these tests, so long that it can be seen.
const nodeLag = time.Second

// outOfAddresses is the reason of a pod for which there is no address left.
const outOfAddresses = "OutOf" + address

// asking is a pod that asks for an address, as the webhook has it.
func asking(namespace, name string) *corev1.Pod {
	p := newPod(namespace, name)
	one := corev1.ResourceList{address: resource.MustParse("1")}
	p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: one, Limits: one}
	return p
}

// advertise writes how many addresses a node has, which its kubelet does not know
// yet.
func advertise(t *testing.T, node string, n int) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"status":{"capacity":{%[1]q:"%[2]d"},"allocatable":{%[1]q:"%[2]d"}}}`, address, n)
	if _, err := cluster.Client.CoreV1().Nodes().PatchStatus(t.Context(), node, patch); err != nil {
		t.Fatal(err)
	}
}

// with adds a node whose kubelet knows that it has n addresses.
func with(t *testing.T, n int) (node string) {
	t.Helper()
	node = cluster.NewNode(t, controlplane.Node{Windows: true}).Name
	advertise(t, node, n)
	time.Sleep(nodeLag + settle)
	return node
}

// rejected checks that a pod was rejected for a reason.
func rejected(reason string) func(*corev1.Pod) error {
	return func(p *corev1.Pod) error {
		if p.Status.Phase != corev1.PodFailed || p.Status.Reason != reason {
			return fmt.Errorf("pod %s is %s, reason %q, want Failed and %s", p.Name, p.Status.Phase, p.Status.Reason, reason)
		}
		return nil
	}
}

var running = inPhase(corev1.PodRunning)

func TestKubeletRejectsWhenFull(t *testing.T) {
	namespace, node := cluster.NewNamespace(t), with(t, 2)
	for i := range 2 {
		bind(t, asking(namespace, fmt.Sprint("fits-", i)), node, anAddress)
		awaitPod(t, namespace, fmt.Sprint("fits-", i), running)
	}
	bind(t, asking(namespace, "more"), node, anAddress)
	p := awaitPod(t, namespace, "more", rejected(outOfAddresses))
	want := "Pod was rejected: Node didn't have enough resource: " + address + ", requested: 1, used: 2, capacity: 2"
	if p.Status.Message != want {
		t.Errorf("message is %q, want %q", p.Status.Message, want)
	}

	// It is so for good, and it counts for nobody.
	remove(t, namespace, "fits-0")
	awaitGone(t, namespace, "fits-0")
	bind(t, asking(namespace, "next"), node, anAddress)
	awaitPod(t, namespace, "next", running)
	awaitPod(t, namespace, "more", rejected(outOfAddresses))
}

// TestKubeletCountsUntilTornDown shows that a pod counts after it has told that it
// succeeded, until its sandbox has gone.
func TestKubeletCountsUntilTornDown(t *testing.T) {
	namespace, node := cluster.NewNamespace(t), with(t, 1)
	job := asking(namespace, "job")
	job.Annotations = map[string]string{
		controlplane.CompleteAfterAnnotation: "100ms", controlplane.TeardownAnnotation: "2s",
	}
	bind(t, job, node, anAddress)
	awaitPod(t, namespace, "job", inPhase(corev1.PodSucceeded))
	bind(t, asking(namespace, "early"), node, anAddress)
	awaitPod(t, namespace, "early", rejected(outOfAddresses))

	awaitPod(t, namespace, "job", func(p *corev1.Pod) error {
		if hasCondition(p, corev1.PodReadyToStartContainers) {
			return fmt.Errorf("its sandbox is there")
		}
		return nil
	})
	bind(t, asking(namespace, "late"), node, anAddress)
	awaitPod(t, namespace, "late", running)
}

// TestKubeletCountsDeletedPods shows that a deleted pod counts as long as its object
// is there, and one that was deleted by force not at all.
func TestKubeletCountsDeletedPods(t *testing.T) {
	namespace, node := cluster.NewNamespace(t), with(t, 1)
	slow := asking(namespace, "slow")
	slow.Annotations = map[string]string{controlplane.StopAfterAnnotation: "2s"}
	bind(t, slow, node, anAddress)
	awaitPod(t, namespace, "slow", running)
	remove(t, namespace, "slow")
	bind(t, asking(namespace, "early"), node, anAddress)
	awaitPod(t, namespace, "early", rejected(outOfAddresses))

	force := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	if err := cluster.Client.CoreV1().Pods(namespace).Delete(t.Context(), "slow", force); err != nil {
		t.Fatal(err)
	}
	time.Sleep(settle)
	bind(t, asking(namespace, "late"), node, anAddress)
	awaitPod(t, namespace, "late", running)
}

// TestKubeletLags shows that a kubelet knows of pods before it knows of its Node.
func TestKubeletLags(t *testing.T) {
	namespace, node := cluster.NewNamespace(t), with(t, 1)
	bind(t, asking(namespace, "first"), node, anAddress)
	awaitPod(t, namespace, "first", running)
	advertise(t, node, 2)
	bind(t, asking(namespace, "early"), node, anAddress)
	awaitPod(t, namespace, "early", rejected(outOfAddresses))
	time.Sleep(nodeLag)
	bind(t, asking(namespace, "late"), node, anAddress)
	awaitPod(t, namespace, "late", running)
}

func TestKubeletRejectsBeyondMaxPods(t *testing.T) {
	namespace := cluster.NewNamespace(t)
	node := cluster.NewNode(t, controlplane.Node{Windows: true, Pods: 1})
	bind(t, newPod(namespace, "fits"), node.Name, anAddress)
	awaitPod(t, namespace, "fits", running)
	bind(t, newPod(namespace, "more"), node.Name, anAddress)
	awaitPod(t, namespace, "more", rejected("OutOfpods"))

	node = cluster.NewNode(t, controlplane.Node{Windows: true, Name: namespace + "-default"})
	if got := node.Status.Allocatable.Pods().Value(); got != 110 {
		t.Errorf("a Windows node takes %d pods by default, want 110", got)
	}
}

// TestKubeletAsksForWindows shows that pods may say in each way on which system they
// run, and that kubelets look at it.
func TestKubeletAsksForWindows(t *testing.T) {
	for name, test := range map[string]struct {
		ask  func(*corev1.PodSpec, string)
		want string // the reason of one that asks for Linux
	}{
		"field": {func(s *corev1.PodSpec, os string) { s.OS = &corev1.PodOS{Name: corev1.OSName(os)} }, "PodOSNotSupported"},
		"selector": {func(s *corev1.PodSpec, os string) {
			s.NodeSelector = map[string]string{corev1.LabelOSStable: os}
		}, "NodeAffinity"},
		"affinity": {func(s *corev1.PodSpec, os string) {
			s.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: corev1.LabelOSStable, Operator: corev1.NodeSelectorOpIn, Values: []string{os}},
				}}},
			}}}
		}, "NodeAffinity"},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := cluster.NewNamespace(t)
			node := cluster.NewNode(t, controlplane.Node{Windows: true})
			for _, os := range []string{"windows", "linux"} {
				p := newPod(namespace, os)
				p.Spec.NodeName, p.Spec.NodeSelector, p.Annotations = node.Name, nil, anAddress
				test.ask(&p.Spec, os)
				create(t, p)
			}
			awaitPod(t, namespace, "windows", running)
			awaitPod(t, namespace, "linux", rejected(test.want))
		})
	}
}

// TestKubeletRestarts shows that a kubelet that starts admits all pods anew, the
// oldest first, also those that run, against the Node as it is now.
func TestKubeletRestarts(t *testing.T) {
	for name, restart := range map[string]func(ctx context.Context, node string) error{
		"one": cluster.RestartKubelet,
		"all, after a crash": func(ctx context.Context, _ string) error {
			if err := cluster.Kubelets.Kill(); err != nil {
				return err
			}
			_, err := cluster.StartKubelets(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			namespace, node := cluster.NewNamespace(t), with(t, 3)
			job := asking(namespace, "ended")
			job.Annotations = map[string]string{controlplane.CompleteAfterAnnotation: "0s", controlplane.TeardownAnnotation: "0s"}
			bind(t, job, node, anAddress)
			awaitPod(t, namespace, "ended", inPhase(corev1.PodSucceeded))
			for _, name := range []string{"older", "younger"} {
				bind(t, asking(namespace, name), node, anAddress)
				awaitPod(t, namespace, name, running)
				time.Sleep(time.Second) // the API server counts whole seconds
			}
			advertise(t, node, 1)
			stays(t, namespace, "younger", corev1.PodRunning)
			if err := restart(t.Context(), node); err != nil {
				t.Fatal(err)
			}
			awaitPod(t, namespace, "younger", rejected(outOfAddresses))
			stays(t, namespace, "older", corev1.PodRunning)
			stays(t, namespace, "ended", corev1.PodSucceeded)
			remove(t, namespace, "older")
			awaitGone(t, namespace, "older")
		})
	}
	if err := cluster.RestartKubelet(t.Context(), "nobody"); err == nil {
		t.Error("a kubelet that is not there was restarted")
	}
}

// TestKubeletOutlivesItsNode shows that the pods of a machine go on when its Node
// loses its label, and when it goes altogether.
func TestKubeletOutlivesItsNode(t *testing.T) {
	namespace := cluster.NewNamespace(t)
	node, err := cluster.AddNode(t.Context(), controlplane.Node{Name: namespace, Windows: true})
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string) {
		t.Helper()
		bind(t, newPod(namespace, name), node.Name, anAddress)
		awaitPod(t, namespace, name, running)
	}
	run("before")
	unlabel := []byte(`{"metadata":{"labels":{"kubernetes.io/os":null}}}`)
	nodes := cluster.Client.CoreV1().Nodes()
	if _, err := nodes.Patch(t.Context(), node.Name, types.MergePatchType, unlabel, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	run("without-label")
	if err := cluster.DeleteNode(t.Context(), node.Name); err != nil {
		t.Fatal(err)
	}
	run("without-node")
	for _, name := range []string{"before", "without-label", "without-node"} {
		remove(t, namespace, name)
		awaitGone(t, namespace, name)
	}
}
