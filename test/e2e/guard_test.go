package e2e

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// TestGuardOfTheAddress: while Slotwise itself gives addresses to pods, not even
// an administrator can touch them.
func TestGuardOfTheAddress(t *testing.T) {
	t.Parallel()
	const node = "guarded"
	e := shared(t)
	namespace := e.guarded(t, node)
	check.Must(t, e.CreatePods(t.Context(), namespace, "waits", 1, testenv.OnNode("of-nowhere")))
	before := e.pod(t, namespace, "runs-0").Annotations[vpc.Annotation]

	pods := e.Client.CoreV1().Pods(namespace)
	annotations := map[string]string{vpc.Annotation: "10.0.0.77/32"}
	patch := func(pod, value string) error {
		text := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, vpc.Annotation, value)
		_, err := pods.Patch(t.Context(), pod, types.MergePatchType, text, metav1.PatchOptions{})
		return err
	}
	for name, attempt := range map[string]func() error{
		"create with an address": func() error {
			p := testenv.Pod(namespace, "forged")
			p.Annotations = annotations
			return e.Kube.Create(t.Context(), p)
		},
		"set":    func() error { return patch("waits-0", `"10.0.0.77/32"`) },
		"change": func() error { return patch("runs-0", `"10.0.0.77/32"`) },
		"remove": func() error { return patch("runs-0", "null") },
		"update": func() error {
			p := e.pod(t, namespace, "runs-0")
			p.Annotations = nil
			return e.Kube.Update(t.Context(), p)
		},
		"bind with an address": func() error {
			return pods.Bind(t.Context(), &corev1.Binding{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "waits-0", Annotations: annotations},
				Target:     corev1.ObjectReference{Kind: "Node", Name: node},
			}, metav1.CreateOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefusal(t, attempt(), "the address that Slotwise has given to this pod")
		})
	}
	if after := e.pod(t, namespace, "runs-0").Annotations[vpc.Annotation]; after != before {
		t.Errorf("the address of runs-0 was %s and is %s", before, after)
	}
	if p := e.pod(t, namespace, "waits-0"); p.Spec.NodeName != "" || p.Annotations[vpc.Annotation] != "" {
		t.Errorf("waits-0 is on node %q with address %q, want neither", p.Spec.NodeName, p.Annotations[vpc.Annotation])
	}
}

// TestGuardOfSlotwise: who has got hold of Slotwise's token can write what Slotwise
// writes, and nothing else of the objects that RBAC lets it patch.
func TestGuardOfSlotwise(t *testing.T) {
	t.Parallel()
	const node = "kept"
	e := shared(t)
	namespace := e.guarded(t, node)

	slotwise := e.asSlotwise(t)
	for name, patch := range map[string]string{
		"image":      `{"spec":{"containers":[{"name":"main","image":"evil"}]}}`,
		"label":      `{"metadata":{"labels":{"app":"another"}}}`,
		"annotation": `{"metadata":{"annotations":{"example.com/a":"b"}}}`,
		"finalizer":  `{"metadata":{"finalizers":["example.com/stay"]}}`,
		"owner":      `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"` + node + `","uid":"1"}]}}`,
	} {
		t.Run("pod's "+name, func(t *testing.T) {
			_, err := slotwise.CoreV1().Pods(namespace).Patch(t.Context(), "runs-0", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
			wantRefusal(t, err, "Slotwise may change nothing of a pod but")
		})
	}
	for name, c := range map[string]struct{ patch, refusal string }{
		"label":      {`{"metadata":{"labels":{"kubernetes.io/os":"linux"}}}`, "Slotwise may change no labels of a Node"},
		"annotation": {`{"metadata":{"annotations":{"example.com/a":"b"}}}`, "Slotwise may change no labels of a Node"},
		"CPUs":       {`{"status":{"allocatable":{"cpu":"7"}}}`, "Slotwise may change nothing of a Node's status but"},
		"resources":  {`{"status":{"capacity":{"example.com/another":"1"}}}`, "Slotwise may change nothing of a Node's status but"},
		"address":    {`{"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.77"}]}}`, "Slotwise may change nothing of a Node's status but"},
		"condition":  {`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`, "Slotwise may change nothing of a Node's status but"},
	} {
		t.Run("node's "+name, func(t *testing.T) {
			_, err := slotwise.CoreV1().Nodes().Patch(t.Context(), node, types.StrategicMergePatchType, []byte(c.patch), metav1.PatchOptions{}, "status")
			wantRefusal(t, err, c.refusal)
		})
	}
}

// guarded adds a node and has the pod runs-0 run on it, in a namespace of its own.
func (e *env) guarded(t *testing.T, node string) (namespace string) {
	t.Helper()
	namespace = e.namespace(t)
	check.Must(t, check.ErrorOf(e.AddNode(t.Context(), node, "t3.small", testenv.Subnet)))
	check.Must(t, e.CreatePods(t.Context(), namespace, "runs", 1, testenv.OnNode(node)))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, 1))
	return namespace
}

// asSlotwise is a client with the permissions of Slotwise's ServiceAccount.
func (e *env) asSlotwise(t *testing.T) kubernetes.Interface {
	t.Helper()
	config := rest.CopyConfig(e.Admin)
	config.Impersonate.UserName = "system:serviceaccount:" + testenv.Namespace + ":slotwise"
	kube, err := kubernetes.NewForConfig(config)
	check.Must(t, err)
	return kube
}

func wantRefusal(t *testing.T, err error, text string) {
	t.Helper()
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want a refusal that says: %s", err, text)
	}
}
