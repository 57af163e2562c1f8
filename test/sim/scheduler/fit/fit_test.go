package fit

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const address = "vpc.amazonaws.com/PrivateIPv4Address"

func TestCheck(t *testing.T) {
	tests := map[string]struct {
		request     Amounts
		pods        int
		used        Amounts
		allocatable Amounts
		want        []Shortage
	}{
		"fits": {
			request: Amounts{{address, 1}}, pods: 1, used: Amounts{{address, 1}},
			allocatable: Amounts{{"pods", 110}, {address, 2}},
		},
		"all addresses are used": {
			request: Amounts{{address, 1}}, pods: 2, used: Amounts{{address, 2}},
			allocatable: Amounts{{"pods", 110}, {address, 2}},
			want:        []Shortage{{address, 1, 2, 2, false}},
		},
		"more than the node ever has": {
			request: Amounts{{address, 1}}, allocatable: Amounts{{"pods", 110}, {address, 0}},
			want: []Shortage{{address, 1, 0, 0, true}},
		},
		"the node does not offer it": {
			request: Amounts{{address, 1}}, allocatable: Amounts{{"pods", 110}},
			want: []Shortage{{address, 1, 0, 0, true}},
		},
		"max-pods counts pods that ask for nothing": {
			pods: 2, allocatable: Amounts{{"pods", 2}},
			want: []Shortage{{"pods", 1, 2, 2, false}},
		},
		"what the pod does not ask for may be overused": {
			request: Amounts{{"cpu", 100}}, pods: 3, used: Amounts{{"cpu", 0}, {address, 3}},
			allocatable: Amounts{{"cpu", 100}, {"pods", 110}, {address, 1}},
		},
		"all shortages are told": {
			request: Amounts{{"cpu", 100}, {address, 1}}, pods: 1, used: Amounts{{"cpu", 50}},
			allocatable: Amounts{{"cpu", 120}, {"pods", 1}},
			want:        []Shortage{{"pods", 1, 1, 1, false}, {"cpu", 100, 50, 120, false}, {address, 1, 0, 0, true}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Check(test.request, test.pods, test.used, test.allocatable)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAmounts(t *testing.T) {
	a := Amounts{{"cpu", 100}, {address, 1}}
	a = a.Plus(Amounts{{"memory", 5}, {address, 1}})
	if diff := cmp.Diff(Amounts{{"cpu", 100}, {"memory", 5}, {address, 2}}, a); diff != "" {
		t.Error(diff)
	}
	a = a.Minus(Amounts{{"cpu", 100}, {address, 1}})
	if diff := cmp.Diff(Amounts{{"cpu", 0}, {"memory", 5}, {address, 1}}, a); diff != "" {
		t.Error(diff)
	}
}

func TestRequests(t *testing.T) {
	container := func(address string) corev1.Container {
		return corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			"vpc.amazonaws.com/PrivateIPv4Address": resource.MustParse(address), "cpu": resource.MustParse("250m"),
		}}}
	}
	p := &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{container("0")},
		Containers:     []corev1.Container{container("1"), container("0")},
	}}
	if diff := cmp.Diff(Amounts{{"cpu", 500}, {address, 1}}, Requests(p)); diff != "" {
		t.Error(diff)
	}
}

func TestExtended(t *testing.T) {
	for name, want := range map[corev1.ResourceName]bool{
		address: true, "cpu": false, "pods": false, "hugepages-2Mi": false, "kubernetes.io/batch-cpu": false,
	} {
		if got := Extended(name); got != want {
			t.Errorf("Extended(%s) is %t, want %t", name, got, want)
		}
	}
}
