package webhook

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"slotwise.dev/slotwise/allocator/vpc"
)

func asking(limits, requests corev1.ResourceList) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Limits: limits, Requests: requests}
}

func addresses(n int64) corev1.ResourceList {
	return corev1.ResourceList{vpc.Resource: *resource.NewQuantity(n, resource.DecimalSI)}
}

func cpu(list corev1.ResourceList) corev1.ResourceList {
	list[corev1.ResourceCPU] = resource.MustParse("500m")
	return list
}

// resourceCase is what a pod asks for, before and afterwards.
type resourceCase struct{ in, want corev1.PodSpec }

func resourceCases() map[string]resourceCase {
	one, nothing := asking(addresses(1), addresses(1)), asking(corev1.ResourceList{}, corev1.ResourceList{})
	always := corev1.ContainerRestartPolicyAlways

	return map[string]resourceCase{
		"no container": {},
		"nothing asked": {
			in:   corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}, {Name: "b"}}},
			want: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Resources: one}, {Name: "b"}}},
		},
		"other resources stay": {
			in:   corev1.PodSpec{Containers: []corev1.Container{{Resources: asking(nil, cpu(addresses(0)))}}},
			want: corev1.PodSpec{Containers: []corev1.Container{{Resources: asking(addresses(1), cpu(addresses(1)))}}},
		},
		"one asked already": {
			in:   corev1.PodSpec{Containers: []corev1.Container{{Resources: one}}},
			want: corev1.PodSpec{Containers: []corev1.Container{{Resources: one}}},
		},
		"too many asked": {
			in:   corev1.PodSpec{Containers: []corev1.Container{{Resources: asking(addresses(7), addresses(7))}}},
			want: corev1.PodSpec{Containers: []corev1.Container{{Resources: one}}},
		},
		"asked by the second container": {
			in:   corev1.PodSpec{Containers: []corev1.Container{{}, {Resources: one}}},
			want: corev1.PodSpec{Containers: []corev1.Container{{Resources: one}, {Resources: nothing}}},
		},
		"asked by an init container and a sidecar": {
			in: corev1.PodSpec{
				InitContainers: []corev1.Container{{Resources: one}, {RestartPolicy: &always, Resources: one}},
				Containers:     []corev1.Container{{}},
			},
			want: corev1.PodSpec{
				InitContainers: []corev1.Container{{Resources: nothing}, {RestartPolicy: &always, Resources: nothing}},
				Containers:     []corev1.Container{{Resources: one}},
			},
		},
		"asked by the pod as a whole": {
			in:   corev1.PodSpec{Resources: &corev1.ResourceRequirements{Limits: cpu(addresses(1))}, Containers: []corev1.Container{{}}},
			want: corev1.PodSpec{Resources: &corev1.ResourceRequirements{Limits: cpu(corev1.ResourceList{})}, Containers: []corev1.Container{{Resources: one}}},
		},
		"asked as overhead": {
			in:   corev1.PodSpec{Overhead: cpu(addresses(1)), Containers: []corev1.Container{{}}},
			want: corev1.PodSpec{Overhead: cpu(corev1.ResourceList{}), Containers: []corev1.Container{{Resources: one}}},
		},
	}
}

func TestAddResource(t *testing.T) {
	for name, tc := range resourceCases() {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: *tc.in.DeepCopy()}
			AddResource(pod, vpc.Resource)
			if diff := cmp.Diff(tc.want, pod.Spec); diff != "" {
				t.Errorf("AddResource (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAddResourceProperties: whatever the pod asked for, it asks for one address
// afterwards, by the first container, and asking again changes nothing.
func TestAddResourceProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pod := genPod.Draw(t, "pod")
		AddResource(pod, vpc.Resource)

		if len(pod.Spec.Containers) > 0 {
			one := resource.MustParse("1")
			first := pod.Spec.Containers[0].Resources
			if !first.Limits[vpc.Resource].Equal(one) || !first.Requests[vpc.Resource].Equal(one) {
				t.Errorf("the first container asks for %v", first)
			}
			if lists := mentions(pod); lists != 2 {
				t.Errorf("%d resource lists name the resource, want the first container's limits and requests", lists)
			}
		}

		again := pod.DeepCopy()
		AddResource(again, vpc.Resource)
		if diff := cmp.Diff(pod, again); diff != "" {
			t.Errorf("asking again changes the pod (-once +twice):\n%s", diff)
		}
	})
}

var (
	genList = rapid.Custom(func(t *rapid.T) corev1.ResourceList {
		return rapid.SampledFrom([]corev1.ResourceList{
			nil, {}, cpu(corev1.ResourceList{}), addresses(0), addresses(1), cpu(addresses(1)), addresses(40),
		}).Draw(t, "list").DeepCopy()
	})
	genContainer = rapid.Custom(func(t *rapid.T) corev1.Container {
		return corev1.Container{Resources: asking(genList.Draw(t, "limits"), genList.Draw(t, "requests"))}
	})
	genPod = rapid.Custom(func(t *rapid.T) *corev1.Pod {
		pod := &corev1.Pod{Spec: corev1.PodSpec{
			InitContainers: rapid.SliceOfN(genContainer, 0, 3).Draw(t, "init containers"),
			Containers:     rapid.SliceOfN(genContainer, 0, 3).Draw(t, "containers"),
			Overhead:       genList.Draw(t, "overhead"),
		}}
		if rapid.Bool().Draw(t, "pod-level") {
			pod.Spec.Resources = new(genContainer.Draw(t, "pod").Resources)
		}
		return pod
	})
)

// mentions counts the resource lists of the pod that name the resource.
func mentions(pod *corev1.Pod) (n int) {
	lists := []corev1.ResourceList{pod.Spec.Overhead}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		lists = append(lists, c.Resources.Limits, c.Resources.Requests)
	}
	if r := pod.Spec.Resources; r != nil {
		lists = append(lists, r.Limits, r.Requests)
	}
	for _, list := range lists {
		if _, ok := list[vpc.Resource]; ok {
			n++
		}
	}
	return n
}
