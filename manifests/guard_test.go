package manifests

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/vpc"
)

const (
	address      = "10.0.1.17/32"
	otherAddress = "10.0.1.18/32"
)

// attempt is something that somebody tries to do with a pod.
type attempt func(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod) error

// patch sends a merge patch of the annotation, by way of a subresource if one is
// named; value is JSON.
func patch(value string, subresource ...string) attempt {
	text := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, vpc.Annotation, value)
	return func(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod) error {
		_, err := c.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, text, metav1.PatchOptions{}, subresource...)
		return err
	}
}

// ifServed is an attempt by way of what older API servers do not have, as resize
// before 1.32; there it comes to nothing.
func ifServed(try attempt) attempt {
	return func(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod) error {
		return client.IgnoreNotFound(try(ctx, c, pod))
	}
}

func create(annotations map[string]string) attempt {
	return func(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod) error {
		_, err := c.CoreV1().Pods(pod.Namespace).Create(ctx, newPod(annotations), metav1.CreateOptions{})
		return err
	}
}

func apply(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod) error {
	text := fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{%q:%q}}}`, vpc.Annotation, otherAddress)
	_, err := c.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.ApplyPatchType, text,
		metav1.PatchOptions{FieldManager: "test", Force: new(true)})
	return err
}

func update(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod) error {
	changed := pod.DeepCopy()
	delete(changed.Annotations, vpc.Annotation)
	_, err := c.CoreV1().Pods(pod.Namespace).Update(ctx, changed, metav1.UpdateOptions{})
	return err
}

func binding(pod *corev1.Pod, annotations map[string]string) *corev1.Binding {
	return &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID, Annotations: annotations},
		Target:     corev1.ObjectReference{Kind: "Node", Name: "node"},
	}
}

func bind(annotations map[string]string) attempt {
	return func(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod) error {
		return c.CoreV1().Pods(pod.Namespace).Bind(ctx, binding(pod, annotations), metav1.CreateOptions{})
	}
}

// bindByOldPath posts to /api/v1/namespaces/x/bindings.
func bindByOldPath(annotations map[string]string) attempt {
	return func(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod) error {
		return c.CoreV1().RESTClient().Post().Namespace(pod.Namespace).Resource("bindings").Body(binding(pod, annotations)).Do(ctx).Error()
	}
}

// TestGuardRefuses: not even an administrator, to whom RBAC refuses nothing, can
// set, change or remove a pod's address, by whichever way; the answer says why,
// and the address stays as it was.
func TestGuardRefuses(t *testing.T) {
	kubeconfig, err := cluster.Kubeconfig("somebody", "system:masters")
	somebody := clientOf(t, kubeconfig, err)

	for name, tc := range map[string]struct {
		has string // the address before
		try attempt
	}{
		"create with an address":          {try: create(addressed(address))},
		"create with a void address":      {try: create(addressed(""))},
		"set":                             {try: patch(`"` + address + `"`)},
		"set to nothing":                  {try: patch(`""`)},
		"change":                          {has: address, try: patch(`"` + otherAddress + `"`)},
		"make void":                       {has: address, try: patch(`""`)},
		"remove":                          {has: address, try: patch(`null`)},
		"update without":                  {has: address, try: update},
		"apply":                           {has: address, try: apply},
		"set by status":                   {try: patch(`"`+address+`"`, "status")},
		"change by status":                {has: address, try: patch(`"`+otherAddress+`"`, "status")},
		"remove by status":                {has: address, try: patch(`null`, "status")},
		"bind with an address":            {try: bind(addressed(address))},
		"bind with another address":       {has: address, try: bind(addressed(otherAddress))},
		"bind with a void address":        {has: address, try: bind(addressed(""))},
		"bind with an address, old path":  {try: bindByOldPath(addressed(address))},
		"bind with another one, old path": {has: address, try: bindByOldPath(addressed(otherAddress))},
	} {
		t.Run(name, func(t *testing.T) {
			pod := podWith(t, tc.has)
			err := tc.try(t.Context(), somebody, pod)
			if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "only system:serviceaccount:slotwise-system:slotwise may") ||
				!strings.Contains(err.Error(), "somebody may not") {
				t.Errorf("not refused with the reason: %v", err)
			}
			wantAddress(t, pod, tc.has)
		})
	}
}

// podWith creates a pod and lets the allocator give it the address, if one is named.
func podWith(t *testing.T, address string) *corev1.Pod {
	t.Helper()
	pods := cluster.Client.CoreV1().Pods(cluster.NewNamespace(t))
	pod, err := pods.Create(t.Context(), newPod(nil), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if address == "" {
		return pod
	}
	if err := patch(`"`+address+`"`)(t.Context(), allocator(t), pod); err != nil {
		t.Fatal(err)
	}
	pod, err = pods.Get(t.Context(), pod.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

func allocator(t *testing.T) kubernetes.Interface {
	kubeconfig, err := cluster.ServiceAccountKubeconfig(t.Context(), "slotwise-system", "slotwise")
	return clientOf(t, kubeconfig, err)
}

func wantAddress(t *testing.T, pod *corev1.Pod, want string) {
	t.Helper()
	now, err := cluster.Client.CoreV1().Pods(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := now.Annotations[vpc.Annotation]; got != want {
		t.Errorf("the pod's address is %q, want %q", got, want)
	}
}

// TestGuardLetsPass: the allocator may do all of it that RBAC lets it do, and
// others are not hindered in what is not about the address.
func TestGuardLetsPass(t *testing.T) {
	slotwise := allocator(t)
	other := cluster.Client

	for name, tc := range map[string]struct {
		as   kubernetes.Interface
		has  string // the address before
		try  attempt
		want string // the address afterwards
	}{
		"allocator sets":    {as: slotwise, try: patch(`"` + address + `"`), want: address},
		"allocator changes": {as: slotwise, has: address, try: patch(`"` + otherAddress + `"`), want: otherAddress},
		"allocator removes": {as: slotwise, has: address, try: patch(`null`)},
		"allocator binds":   {as: slotwise, try: bind(addressed(address)), want: address},

		"bind without an address":           {as: other, try: bind(nil)},
		"bind without an address, old path": {as: other, try: bindByOldPath(nil)},
		"bind a pod that has its address":   {as: other, has: address, try: bind(nil), want: address},
		"set to what it is":                 {as: other, has: address, try: patch(`"` + address + `"`), want: address},
		// Metadata does not travel on these: the API server drops it before it asks the guard.
		"set by ephemeral containers": {as: other, try: patch(`"`+address+`"`, "ephemeralcontainers")},
		"remove by resize":            {as: other, has: address, try: ifServed(patch(`null`, "resize")), want: address},
		"another annotation": {as: other, has: address, want: address, try: func(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod) error {
			pod.Annotations["another"] = "annotation"
			_, err := c.CoreV1().Pods(pod.Namespace).Update(ctx, pod, metav1.UpdateOptions{})
			return err
		}},
		"status": {as: other, has: address, want: address, try: func(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod) error {
			pod.Status.Phase = corev1.PodRunning
			_, err := c.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
			return err
		}},
		"evict": {as: other, has: address, want: address, try: func(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod) error {
			return c.CoreV1().Pods(pod.Namespace).EvictV1(ctx, &policyv1.Eviction{
				ObjectMeta:    metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace},
				DeleteOptions: &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}},
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := podWith(t, tc.has)
			if err := tc.try(t.Context(), tc.as, pod); err != nil {
				t.Fatal(err)
			}
			wantAddress(t, pod, tc.want)
		})
	}
}
