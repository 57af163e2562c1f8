package extender

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/capacity"
)

const addressResource = "vpc.amazonaws.com/PrivateIPv4Address"

// fakeRooms knows the nodes in it; the others are Unknown.
type fakeRooms map[string]capacity.Room

func (f fakeRooms) View(_ capacity.Pod, view func(func([]byte) capacity.Room)) { view(f.lookup) }

func (f fakeRooms) Anywhere(capacity.Pod) bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(f)), capacity.Room.Fits)
}

func (f fakeRooms) lookup(node []byte) capacity.Room {
	if room, ok := f[string(node)]; ok {
		return room
	}
	return capacity.Room{Reason: capacity.Unknown}
}

// noRooms is for requests that must not need the allocator.
type noRooms struct{ t testing.TB }

func (f noRooms) View(capacity.Pod, func(func([]byte) capacity.Room)) {
	f.t.Error("the allocator was asked for rooms")
}

func (f noRooms) Anywhere(capacity.Pod) bool {
	f.t.Error("the allocator was asked for rooms")
	return false
}

type fakeBinder func(ctx context.Context, pod types.NamespacedName, uid types.UID, node string) error

func (f fakeBinder) Bind(ctx context.Context, pod types.NamespacedName, uid types.UID, node string) error {
	return f(ctx, pod, uid, node)
}

// fakeEvictions says where evictions bring an address; the first node by name is chosen.
type fakeEvictions func(node string, victims []types.UID) bool

func (f fakeEvictions) Choose(_ context.Context, _ capacity.Pod, candidates []capacity.Candidate) (chosen capacity.Candidate, ok bool) {
	for _, c := range candidates {
		if f(c.Node, c.Victims) && (!ok || c.Node < chosen.Node) {
			chosen, ok = c, true
		}
	}
	return chosen, ok
}

// testOptions are complete, with an allocator that refuses everything; a test
// puts in what it is about.
func testOptions(t testing.TB) Options {
	t.Helper()
	options, err := Options{
		Address:   "127.0.0.1:0",
		Rooms:     fakeRooms{},
		Binder:    fakeBinder(func(context.Context, types.NamespacedName, types.UID, string) error { return nil }),
		Evictions: fakeEvictions(func(string, []types.UID) bool { return false }),
		Serving:   func() bool { return true },
	}.complete()
	if err != nil {
		t.Fatal(err)
	}
	return options
}

// post sends a body to a verb and decodes the answer, which has to be JSON of
// the result's type and of no other shape.
func post[Result any](t testing.TB, handler http.Handler, verb, body string) (status int, result Result) {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/"+verb, strings.NewReader(body)))
	decoder := json.NewDecoder(recorder.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&result); err != nil {
		t.Fatalf("%s answers what is no %T: %v", verb, result, err)
	}
	if decoder.More() {
		t.Fatalf("%s answers more than one value", verb)
	}
	return recorder.Code, result
}

// only is a result of which nothing but the Error is looked at.
type only struct{ Error string }

// fataler is what a test, a benchmark and a property have in common.
type fataler interface {
	Helper()
	Fatal(...any)
}

func marshal(t fataler, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// podAsking is a pod whose containers ask for so many addresses each.
func podAsking(quantities ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "uid-of-web"}}
	for _, quantity := range quantities {
		pod.Spec.Containers = append(pod.Spec.Containers, containerAsking(quantity))
	}
	return pod
}

func containerAsking(quantity string) corev1.Container {
	resources := corev1.ResourceList{
		corev1.ResourceCPU:                   resource.MustParse("500m"),
		corev1.ResourceName(addressResource): resource.MustParse(quantity),
	}
	return corev1.Container{
		Name:      "main",
		Image:     "mcr.microsoft.com/windows/nanoserver:ltsc2022",
		Resources: corev1.ResourceRequirements{Requests: resources, Limits: resources},
	}
}
