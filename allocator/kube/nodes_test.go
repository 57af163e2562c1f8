package kube

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"slotwise.dev/slotwise/allocator/vpc"
)

func TestAdvertise(t *testing.T) {
	const path = "PATCH /api/v1/nodes/win-1/status"
	const merge = "application/merge-patch+json"
	for name, c := range map[string]struct {
		advert Advert
		want   string
	}{
		"capacity, allocatable and annotations at once": {
			advert: Advert{Resource: vpc.Resource, Total: 42, Annotations: map[string]string{"b": "2", "a": "1"}},
			want: `{"metadata":{"annotations":{"a":"1","b":"2"}},"status":{` +
				`"allocatable":{"vpc.amazonaws.com/PrivateIPv4Address":"42"},"capacity":{"vpc.amazonaws.com/PrivateIPv4Address":"42"}}}`,
		},
		"nothing is left to offer": {
			advert: Advert{Resource: vpc.TrueResource, Annotations: map[string]string{"a": "0"}},
			want: `{"metadata":{"annotations":{"a":"0"}},"status":{` +
				`"allocatable":{"slotwise.dev/PrivateIPv4Address":"0"},"capacity":{"slotwise.dev/PrivateIPv4Address":"0"}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &apiServer{}
			if err := NewNodes(s.kubernetes(t)).Advertise(t.Context(), "win-1", c.advert); err != nil {
				t.Fatal(err)
			}
			s.want(t, request{Do: path, Type: merge, Body: c.want})
		})
	}
}

func TestAdvertiseOnANodeThatHasGone(t *testing.T) {
	s := &apiServer{answers: map[string]any{"PATCH /api/v1/nodes/win-1/status": notFound}}
	if err := NewNodes(s.kubernetes(t)).Advertise(t.Context(), "win-1", Advert{Resource: vpc.Resource}); !apierrors.IsNotFound(err) {
		t.Errorf("the error is %v, want one that says that there is no such Node", err)
	}
}
