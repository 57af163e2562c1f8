package e2e

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/bed"
)

// TestGuardOfTheAddress: while Slotwise itself gives addresses to pods, not even
// an administrator can touch them.
func TestGuardOfTheAddress(t *testing.T) {
	t.Parallel()
	const node = "guarded"
	s := shared(t)
	namespace := s.namespace(t)
	must(t, errorOf(s.AddNode(t.Context(), node, "t3.small", bed.Subnet)))
	must(t, s.CreatePods(t.Context(), namespace, "runs", 1, bed.OnNode(node)))
	must(t, s.CreatePods(t.Context(), namespace, "waits", 1, bed.OnNode("of-nowhere")))
	must(t, s.AwaitRunning(t.Context(), namespace, 1))
	before := s.pod(t, namespace, "runs-0").Annotations[vpc.Annotation]

	pods := s.Client.CoreV1().Pods(namespace)
	annotations := map[string]string{vpc.Annotation: "10.0.0.77/32"}
	patch := func(pod, value string) error {
		text := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, vpc.Annotation, value)
		_, err := pods.Patch(t.Context(), pod, types.MergePatchType, text, metav1.PatchOptions{})
		return err
	}
	for name, attempt := range map[string]func() error{
		"create with an address": func() error {
			p := bed.Pod(namespace, "forged")
			p.Annotations = annotations
			return s.Kube.Create(t.Context(), p)
		},
		"set":    func() error { return patch("waits-0", `"10.0.0.77/32"`) },
		"change": func() error { return patch("runs-0", `"10.0.0.77/32"`) },
		"remove": func() error { return patch("runs-0", "null") },
		"update": func() error {
			p := s.pod(t, namespace, "runs-0")
			p.Annotations = nil
			return s.Kube.Update(t.Context(), p)
		},
		"bind with an address": func() error {
			return pods.Bind(t.Context(), &corev1.Binding{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "waits-0", Annotations: annotations},
				Target:     corev1.ObjectReference{Kind: "Node", Name: node},
			}, metav1.CreateOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := attempt()
			if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "the address that Slotwise has given to this pod") {
				t.Errorf("got %v, want a refusal that says why", err)
			}
		})
	}
	if after := s.pod(t, namespace, "runs-0").Annotations[vpc.Annotation]; after != before {
		t.Errorf("the address of runs-0 was %s and is %s", before, after)
	}
	if p := s.pod(t, namespace, "waits-0"); p.Spec.NodeName != "" || p.Annotations[vpc.Annotation] != "" {
		t.Errorf("waits-0 is on node %q with address %q, want neither", p.Spec.NodeName, p.Annotations[vpc.Annotation])
	}
}
