package kube

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/watchlist"
)

const podPath = "/api/v1/namespaces/default/pods/iis"

// What is asked of the API server, to the byte: each of these requests is a promise.
func TestPodsAsk(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, p Pods) error
		want request
	}{
		"a pod is read": {
			do:   func(t *testing.T, p Pods) error { _, err := p.Get(t.Context(), iis); return err },
			want: request{Do: "GET " + podPath},
		},
		"the pods of a node are listed, those that have finished too": {
			do:   func(t *testing.T, p Pods) error { _, err := p.OnNode(t.Context(), "win-1"); return err },
			want: request{Do: "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dwin-1%2Cspec.nodeName%21%3D"},
		},
		"node and address are bound in one write, to this pod alone": {
			do: func(t *testing.T, p Pods) error {
				return p.Bind(t.Context(), Binding{Pod: iis, UID: "1", Node: "win-1", Address: netip.MustParsePrefix("10.0.0.9/24")})
			},
			want: request{
				Do: "POST " + podPath + "/binding", Type: "application/json",
				Body: `{"kind":"Binding","apiVersion":"v1","metadata":{"name":"iis","namespace":"default","uid":"1",` +
					`"annotations":{"vpc.amazonaws.com/PrivateIPv4Address":"10.0.0.9/24"}},"target":{"kind":"Node","name":"win-1"}}`,
			},
		},
		"a pod is bound without an address": {
			do: func(t *testing.T, p Pods) error {
				return p.Bind(t.Context(), Binding{Pod: iis, UID: "1", Node: "win-1"})
			},
			want: request{
				Do: "POST " + podPath + "/binding", Type: "application/json",
				Body: `{"kind":"Binding","apiVersion":"v1","metadata":{"name":"iis","namespace":"default","uid":"1"},"target":{"kind":"Node","name":"win-1"}}`,
			},
		},
		"an address is annotated to this pod alone": {
			do: func(t *testing.T, p Pods) error {
				return p.Annotate(t.Context(), iis, "1", netip.MustParsePrefix("10.0.0.9/24"))
			},
			want: request{
				Do: "PATCH " + podPath, Type: "application/merge-patch+json",
				Body: `{"metadata":{"annotations":{"vpc.amazonaws.com/PrivateIPv4Address":"10.0.0.9/24"},"uid":"1"}}`,
			},
		},
		"this pod alone is evicted": {
			do: func(t *testing.T, p Pods) error { return p.Evict(t.Context(), iis, "1") },
			want: request{
				Do: "POST " + podPath + "/eviction", Type: "application/json",
				Body: `{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"iis","namespace":"default"},"deleteOptions":{"preconditions":{"uid":"1"}}}`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &apiServer{}
			if err := c.do(t, NewPods(s.kubernetes(t))); err != nil {
				t.Fatal(err)
			}
			s.want(t, c.want)
		})
	}
}

func TestPodsAnswer(t *testing.T) {
	known := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "iis", UID: "1"}}
	p := NewPods((&apiServer{answers: map[string]any{
		"GET " + podPath:                known,
		"GET /api/v1/pods":              corev1.PodList{Items: []corev1.Pod{known}},
		"PATCH " + podPath:              invalid,
		"POST " + podPath + "/binding":  conflict,
		"POST " + podPath + "/eviction": conflict,
	}}).kubernetes(t))

	if got, err := p.Get(t.Context(), iis); err != nil || got.UID != "1" {
		t.Errorf("read %v, %v; want the pod of UID 1", got, err)
	}
	if got, err := p.OnNode(t.Context(), "win-1"); err != nil || len(got) != 1 || got[0].UID != "1" {
		t.Errorf("listed %v, %v; want the pod of UID 1", got, err)
	}
	if err := p.Annotate(t.Context(), iis, "1", netip.MustParsePrefix("10.0.0.9/24")); !apierrors.IsInvalid(err) {
		t.Errorf("annotated another pod of that name: %v, want that the patch is invalid", err)
	}
	if err := p.Bind(t.Context(), Binding{Pod: iis}); !apierrors.IsConflict(err) {
		t.Errorf("bound another pod of that name: %v, want a conflict", err)
	}
	if err := p.Evict(t.Context(), iis, "1"); !apierrors.IsConflict(err) {
		t.Errorf("evicted another pod of that name: %v, want a conflict", err)
	}
}

// The reflector gets bound pods alone, in a list and in a watch.
func TestBoundPodsAsk(t *testing.T) {
	s := &apiServer{}
	lw := cache.ToListerWatcherWithContext(BoundPods(s.kubernetes(t)))
	if _, err := lw.ListWithContext(t.Context(), metav1.ListOptions{ResourceVersion: "0"}); err != nil {
		t.Fatal(err)
	}
	w, err := lw.WatchWithContext(t.Context(), metav1.ListOptions{ResourceVersion: "7"})
	if err != nil {
		t.Fatal(err)
	}
	w.Stop()
	s.want(t,
		request{Do: "GET /api/v1/pods?fieldSelector=spec.nodeName%21%3D&resourceVersion=0"},
		request{Do: "GET /api/v1/pods?fieldSelector=spec.nodeName%21%3D&resourceVersion=7&watch=true"},
	)
}

// The reflector has the API server stream the first list, where the client can do that.
func TestBoundPodsStreamWhereTheClientCan(t *testing.T) {
	got := map[string]bool{
		"API server": !watchlist.DoesClientNotSupportWatchListSemantics(BoundPods((&apiServer{}).kubernetes(t))),
		"fake":       !watchlist.DoesClientNotSupportWatchListSemantics(BoundPods(fake.NewClientset())),
	}
	if diff := cmp.Diff(map[string]bool{"API server": true, "fake": false}, got); diff != "" {
		t.Errorf("who streams differs (-want +got):\n%s", diff)
	}
}
