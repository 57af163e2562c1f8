package controlplane_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/controlplane"
)

// TestAddressInBinding shows the way of a Windows pod: one write binds it and
// brings its address, with which it starts.
func TestAddressInBinding(t *testing.T) {
	namespace := cluster.NewNamespace(t)
	node := cluster.NewNode(t, controlplane.Node{Windows: true, Address: "10.1.0.4"})
	bind(t, newPod(namespace, "pod"), node.Name, map[string]string{address: "10.1.0.17/32"})

	pod := awaitPod(t, namespace, "pod", inPhase(corev1.PodRunning))
	if got, want := pod.Status.PodIP, "10.1.0.17"; got != want {
		t.Errorf("podIP is %q, want %q", got, want)
	}
	if got, want := pod.Status.HostIP, "10.1.0.4"; got != want {
		t.Errorf("hostIP is %q, want %q", got, want)
	}
	for _, condition := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReady} {
		if !hasCondition(pod, condition) {
			t.Errorf("condition %s is not True", condition)
		}
	}
}

func hasCondition(pod *corev1.Pod, want corev1.PodConditionType) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == want {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// TestNoAddress shows a pod bound without its address: it waits until somebody
// annotates it. It does not say itself that it is a Windows pod.
func TestNoAddress(t *testing.T) {
	namespace := cluster.NewNamespace(t)
	node := cluster.NewNode(t, controlplane.Node{Windows: true})
	bind(t, newPod(namespace, "pod"), node.Name, nil)
	stays(t, namespace, "pod", corev1.PodPending)

	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"10.1.0.18/24"}}}`, address)
	_, err := cluster.Client.CoreV1().Pods(namespace).Patch(t.Context(), "pod", types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := awaitPod(t, namespace, "pod", inPhase(corev1.PodRunning))
	if got, want := pod.Status.PodIP, "10.1.0.18"; got != want {
		t.Errorf("podIP is %q, want %q", got, want)
	}
}

// TestStartsAtOnce shows the pods that need no address of the node's ENI, placed
// by the scheduler.
func TestStartsAtOnce(t *testing.T) {
	for name, test := range map[string]struct{ windows, hostNetwork bool }{
		"Linux":                    {},
		"Linux host network":       {hostNetwork: true},
		"host network, on Windows": {windows: true, hostNetwork: true},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := cluster.NewNamespace(t)
			cluster.NewNode(t, controlplane.Node{
				Windows: test.windows,
				Address: "10.1.0.5",
				Labels:  map[string]string{"test": namespace},
			})
			pod := newPod(namespace, "pod")
			pod.Spec.HostNetwork = test.hostNetwork
			create(t, pod)
			pod = awaitPod(t, namespace, "pod", inPhase(corev1.PodRunning))
			if onHost := pod.Status.PodIP == pod.Status.HostIP; onHost != test.hostNetwork || pod.Status.PodIP == "" {
				t.Errorf("podIP is %q, hostIP %q", pod.Status.PodIP, pod.Status.HostIP)
			}
		})
	}
}

// kinds are the nodes whose kubelets are different programs.
var kinds = map[string]controlplane.Node{
	"Linux":   {},
	"Windows": {Windows: true},
}

// anAddress is of pods that need one and never meet.
var anAddress = map[string]string{address: "10.1.0.19/32"}

func TestStartsLater(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			namespace := cluster.NewNamespace(t)
			node := cluster.NewNode(t, kind)
			pod := newPod(namespace, "pod")
			pod.Annotations = map[string]string{controlplane.StartAfterAnnotation: "2s"}
			bind(t, pod, node.Name, anAddress)
			stays(t, namespace, "pod", corev1.PodPending)
			awaitPod(t, namespace, "pod", inPhase(corev1.PodRunning))
		})
	}
}

func TestDeletedPodVanishes(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			namespace := cluster.NewNamespace(t)
			node := cluster.NewNode(t, kind)

			bind(t, newPod(namespace, "running"), node.Name, anAddress)
			awaitPod(t, namespace, "running", inPhase(corev1.PodRunning))
			remove(t, namespace, "running")
			awaitGone(t, namespace, "running")

			slow := newPod(namespace, "slow")
			slow.Annotations = map[string]string{controlplane.StopAfterAnnotation: "2s"}
			bind(t, slow, node.Name, anAddress)
			awaitPod(t, namespace, "slow", inPhase(corev1.PodRunning))
			remove(t, namespace, "slow")
			stays(t, namespace, "slow", corev1.PodRunning)
			awaitGone(t, namespace, "slow")

			bind(t, newPod(namespace, "starts"), node.Name, nil) // on Windows it cannot
			remove(t, namespace, "starts")
			awaitGone(t, namespace, "starts")
		})
	}
}

// TestHeldPodVanishes shows a deleted pod that somebody holds by a finalizer: on
// Windows it is told by its phase that it has ended, as kubelets do.
func TestHeldPodVanishes(t *testing.T) {
	const finalizer = "example.com/hold"
	for name, want := range map[string]corev1.PodPhase{"Linux": corev1.PodRunning, "Windows": corev1.PodSucceeded} {
		t.Run(name, func(t *testing.T) {
			namespace := cluster.NewNamespace(t)
			node := cluster.NewNode(t, kinds[name])
			held := newPod(namespace, "held")
			held.Finalizers = []string{finalizer}
			bind(t, held, node.Name, anAddress)
			awaitPod(t, namespace, "held", inPhase(corev1.PodRunning))
			remove(t, namespace, "held")
			stays(t, namespace, "held", want)
			free := []byte(`{"metadata":{"finalizers":null}}`)
			pods := cluster.Client.CoreV1().Pods(namespace)
			if _, err := pods.Patch(t.Context(), "held", types.MergePatchType, free, metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			awaitGone(t, namespace, "held")
		})
	}
}

// remove deletes a pod with its grace period.
func remove(t *testing.T, namespace, name string) {
	t.Helper()
	if err := cluster.Client.CoreV1().Pods(namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestJobCompletes(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			namespace := cluster.NewNamespace(t)
			node := cluster.NewNode(t, kind)
			pod := newPod(namespace, "job")
			pod.Annotations = map[string]string{controlplane.CompleteAfterAnnotation: "2s"}
			bind(t, pod, node.Name, anAddress)
			awaitPod(t, namespace, "job", inPhase(corev1.PodRunning))
			stays(t, namespace, "job", corev1.PodRunning)
			pod = awaitPod(t, namespace, "job", inPhase(corev1.PodSucceeded))
			if hasCondition(pod, corev1.PodReady) {
				t.Error("a pod that has succeeded is Ready")
			}
			if state := pod.Status.ContainerStatuses[0].State; state.Terminated == nil || state.Running != nil {
				t.Errorf("its container is not terminated: %+v", state)
			}
		})
	}
}

// TestNodeKeepsWhatOthersWrite shows that kubelets leave the extended resource and
// taints alone, when a node comes and when it comes back.
func TestNodeKeepsWhatOthersWrite(t *testing.T) {
	const advertised = "vpc.amazonaws.com/PrivateIPv4Address"
	taint := corev1.Taint{Key: "os", Value: "windows", Effect: corev1.TaintEffectNoSchedule}
	node := cluster.NewNode(t, controlplane.Node{Windows: true, Taints: []corev1.Taint{taint}})

	patch := fmt.Appendf(nil, `{"status":{
		"capacity":{%[1]q:"74"}, "allocatable":{%[1]q:"74"},
		"conditions":[{"type":"Ready","status":"False"}]}}`, advertised)
	nodes := cluster.Client.CoreV1().Nodes()
	if _, err := nodes.PatchStatus(t.Context(), node.Name, patch); err != nil {
		t.Fatal(err)
	}
	await(t, func(ctx context.Context) (err error) {
		if node, err = nodes.Get(ctx, node.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("not Ready: %v", node.Status.Conditions)
	})
	for list, resources := range map[string]corev1.ResourceList{
		"capacity": node.Status.Capacity, "allocatable": node.Status.Allocatable,
	} {
		if got := resources[advertised]; got.Value() != 74 {
			t.Errorf("%s has %s addresses, want 74", list, got.String())
		}
	}
	if taints := node.Spec.Taints; len(taints) != 1 || taints[0] != taint {
		t.Errorf("taints are %v, want only %v", taints, taint)
	}
}

// TestKeepsUp is for the pace of the simulated kubelets: they must not be what a
// burst waits for.
func TestKeepsUp(t *testing.T) {
	const count, nodes, limit = 500, 10, 5 * time.Second
	namespace := cluster.NewNamespace(t)
	var windows []controlplane.Node
	for i := range nodes {
		windows = append(windows, controlplane.Node{Name: fmt.Sprintf("%s-%d", namespace, i), Windows: true})
	}
	start := time.Now()
	if err := cluster.AddNodes(t.Context(), windows...); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d nodes were ready after %s", nodes, time.Since(start).Round(time.Millisecond))
	t.Cleanup(func() {
		for _, node := range windows {
			if err := cluster.DeleteNode(context.Background(), node.Name); err != nil {
				t.Error(err)
			}
		}
	})

	start = time.Now()
	group, _ := errgroup.WithContext(t.Context())
	group.SetLimit(32)
	for i := range count {
		group.Go(func() error {
			node, ip := windows[i%nodes].Name, fmt.Sprintf("10.2.%d.%d/32", i/250, i%250)
			bind(t, newPod(namespace, fmt.Sprintf("pod-%d", i)), node, map[string]string{address: ip})
			return nil
		})
	}
	_ = group.Wait()
	bound := time.Since(start)
	await(t, func(ctx context.Context) error {
		list, err := cluster.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{FieldSelector: "status.phase=Running"})
		if err == nil && len(list.Items) < count {
			err = fmt.Errorf("%d of %d pods run", len(list.Items), count)
		}
		return err
	})
	late := time.Since(start) - bound
	t.Logf("%d pods were created and bound after %s, running %s later", count,
		bound.Round(time.Millisecond), late.Round(time.Millisecond))
	if late > limit {
		t.Errorf("the last pod ran %s after it was bound, want at most %s", late, limit)
	}
}
