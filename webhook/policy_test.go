package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/manifests"
	"slotwise.dev/slotwise/test/check"
)

// The namespaces in which pods are a policy's, and not the webhook's: that of the
// component admission-policy-eks, which has the webhook's scheduler, and that of
// admission-policy.
const (
	byPolicy      = "by-policy"
	byPlainPolicy = "by-plain-policy"
)

// installPolicies applies both components as they are shipped, each for a namespace
// of its own, and turns them on.
func installPolicies(ctx context.Context, c client.Client) error {
	for _, n := range []string{byPolicy, byPlainPolicy, "slotwise-system"} {
		if err := cluster.CreateNamespace(ctx, n); err != nil {
			return err
		}
	}
	for component, namespace := range map[string]string{"admission-policy-eks": byPolicy, "admission-policy": byPlainPolicy} {
		objects, err := manifests.Build("components/" + component)
		if err != nil {
			return err
		}
		for _, o := range objects {
			confine(o, namespace)
		}
		if err := manifests.Apply(ctx, c, objects); err != nil {
			return err
		}
	}
	for _, at := range []client.ObjectKey{{Namespace: "slotwise-system", Name: "slotwise"}, {Namespace: metav1.NamespaceSystem, Name: "amazon-vpc-cni"}} {
		if err := c.Create(ctx, configMap(at, "true")); err != nil {
			return err
		}
	}
	return nil
}

// confine names a policy or its binding after a namespace, and keeps it to that.
func confine(o *unstructured.Unstructured, namespace string) {
	o.SetName(namespace)
	spec := o.Object["spec"].(map[string]any)
	if o.GetKind() == "MutatingAdmissionPolicyBinding" {
		spec["policyName"] = namespace
		spec["matchResources"] = map[string]any{"namespaceSelector": map[string]any{
			"matchLabels": map[string]any{corev1.LabelMetadataName: namespace},
		}}
	}
}

func configMap(at client.ObjectKey, enabled string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: at.Namespace, Name: at.Name},
		Data:       map[string]string{"enable-windows-ipam": enabled},
	}
}

// outcome is what becomes of a pod: what it is, or why it is refused.
type outcome struct {
	spec    corev1.PodSpec
	refusal []string // sorted: the API server has its reasons in any order
}

// outcomeIn creates a pod, all but the last step.
func outcomeIn(ctx context.Context, namespace string, spec corev1.PodSpec) outcome {
	pod, err := cluster.Client.CoreV1().Pods(namespace).Create(ctx,
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod"}, Spec: spec},
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return outcome{refusal: reasons(err)}
	}
	for i := range pod.Spec.Volumes { // the token's has a name by chance
		pod.Spec.Volumes[i].Name = "volume"
	}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			for j := range containers[i].VolumeMounts {
				containers[i].VolumeMounts[j].Name = "volume"
			}
		}
	}
	return outcome{spec: pod.Spec}
}

func reasons(err error) []string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return []string{err.Error()}
	}
	texts := []string{string(status.Status().Reason)}
	for _, c := range status.Status().Details.Causes {
		texts = append(texts, c.Field+": "+c.Message)
	}
	slices.Sort(texts)
	return texts
}

// differs returns how the policy and the webhook differ about a pod.
func differs(ctx context.Context, spec corev1.PodSpec) string {
	return cmp.Diff(outcomeIn(ctx, metav1.NamespaceDefault, spec), outcomeIn(ctx, byPolicy, spec), cmp.AllowUnexported(outcome{}))
}

// TestPolicyIsWebhook: of each pod of this package's tests the policy makes what the
// webhook makes of it.
func TestPolicyIsWebhook(t *testing.T) {
	enabled.Store(true)
	specs := map[string]corev1.PodSpec{}
	for name, tc := range windowsCases() {
		specs["windows/"+name] = tc.spec
	}
	delete(specs, "windows/no terms") // no pod: either way it is refused, with reasons that differ
	for name, tc := range needyCases() {
		specs["needy/"+name] = tc.spec
	}
	for name, tc := range resourceCases() {
		tc.in.OS = &corev1.PodOS{Name: corev1.Windows}
		specs["resource/"+name] = tc.in
	}
	for name, tc := range creations() {
		specs["creation/"+name] = tc.spec
	}
	for name, scheduler := range map[string]string{"default": corev1.DefaultSchedulerName, "another": "batch"} {
		specs["scheduler/"+name] = corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Windows}, SchedulerName: scheduler}
	}
	for name, spec := range specs {
		t.Run(name, func(t *testing.T) {
			if diff := differs(t.Context(), named(spec)); diff != "" {
				t.Errorf("-webhook +policy:\n%s", diff)
			}
		})
	}
}

// named completes a pod, as far as the API server insists on it.
func named(spec corev1.PodSpec) corev1.PodSpec {
	spec = *spec.DeepCopy()
	if len(spec.Containers) == 0 {
		spec.Containers = make([]corev1.Container, 1)
	}
	for kind, containers := range map[string][]corev1.Container{"init": spec.InitContainers, "main": spec.Containers} {
		for i := range containers {
			containers[i].Name, containers[i].Image = fmt.Sprintf("%s-%d", kind, i), "pause"
		}
	}
	return spec
}

// TestPolicyIsWebhookOnAnyPod: and so it is with pods drawn by chance, also with those
// that are refused.
func TestPolicyIsWebhookOnAnyPod(t *testing.T) {
	enabled.Store(true)
	refused, asking := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		spec := genSpec.Draw(rt, "spec")
		if diff := differs(t.Context(), spec); diff != "" {
			rt.Errorf("-webhook +policy:\n%s", diff)
		}
		switch o := outcomeIn(t.Context(), byPolicy, spec); {
		case o.refusal != nil:
			refused++
		case requested(&corev1.Pod{Spec: o.spec}) == 1 && o.spec.SchedulerName != corev1.DefaultSchedulerName:
			asking++
		}
	})
	t.Logf("%d refused, %d got an address", refused, asking)
	if asking == 0 {
		t.Error("no pod was a Windows pod")
	}
}

var genSpec = rapid.Custom(func(t *rapid.T) corev1.PodSpec {
	spec := genPod.Draw(t, "resources").Spec
	spec.Overhead = nil // only a RuntimeClass may set it
	if rapid.Bool().Draw(t, "has affinity") {
		spec.Affinity = requiring(rapid.SliceOfN(genTerm, 1, 3).Draw(t, "terms")...).Affinity
	}
	spec.NodeSelector = rapid.SampledFrom([]map[string]string{
		nil, {"zone": "a"}, {"kubernetes.io/os": "windows"}, {"beta.kubernetes.io/os": "windows"}, {"kubernetes.io/os": "linux"},
	}).Draw(t, "selector")
	spec.OS = rapid.SampledFrom([]*corev1.PodOS{nil, nil, {Name: corev1.Linux}, {Name: corev1.Windows}}).Draw(t, "os")
	spec.HostNetwork = rapid.IntRange(0, 4).Draw(t, "host network") == 0
	if hostProcess := rapid.SampledFrom([]*bool{nil, nil, new(false), new(true)}).Draw(t, "host process"); hostProcess != nil {
		spec.SecurityContext = &corev1.PodSecurityContext{WindowsOptions: &corev1.WindowsSecurityContextOptions{HostProcess: hostProcess}}
	}
	spec.SchedulerName = rapid.SampledFrom([]string{"", corev1.DefaultSchedulerName, "batch"}).Draw(t, "scheduler")
	return named(spec)
})

// TestPolicyFollowsTheConfigMap: enable-windows-ipam turns it on and off; without
// a ConfigMap it is off. No pod is refused for it.
func TestPolicyFollowsTheConfigMap(t *testing.T) {
	c, err := client.New(cluster.Admin, client.Options{})
	check.Must(t, err)
	at := client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: "amazon-vpc-cni"}
	windows := named(corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Windows}})
	awaitAddresses := func(t *testing.T, want int64) {
		t.Helper()
		check.Must(t, wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			o := outcomeIn(ctx, byPlainPolicy, windows)
			if o.refusal != nil || o.spec.SchedulerName != corev1.DefaultSchedulerName {
				return false, fmt.Errorf("scheduler %q, %v", o.spec.SchedulerName, o.refusal)
			}
			return requested(&corev1.Pod{Spec: o.spec}) == want, nil
		}))
	}
	for _, step := range []struct {
		text string
		want int64
	}{{"false", 0}, {" true\n", 1}, {"yes", 0}, {"1", 1}, {"", 0}, {"T", 1}} {
		check.Must(t, c.Update(t.Context(), configMap(at, step.text)))
		awaitAddresses(t, step.want)
	}
	check.Must(t, c.Delete(t.Context(), configMap(at, "")))
	awaitAddresses(t, 0)
	check.Must(t, c.Create(t.Context(), configMap(at, "true")))
	awaitAddresses(t, 1)
}
