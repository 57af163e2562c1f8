package extender

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"slotwise.dev/slotwise/allocator/capacity"
)

// The yardstick of both benchmarks is a handler that decodes the same request
// with encoding/json into the types of the API, and encodes the names back: an
// extender that has nothing to decide.

var benchSizes = []int{100, 1_000, 5_000, 15_000}

// BenchmarkFilter is over loopback HTTP, with the client's share in it, which is
// the same for both handlers: it sends a ready body and throws the answer away.
func BenchmarkFilter(b *testing.B) { overHTTP(b, VerbFilter, referenceFilter) }

// BenchmarkPrioritize is as BenchmarkFilter.
func BenchmarkPrioritize(b *testing.B) { overHTTP(b, VerbPrioritize, referencePrioritize) }

// BenchmarkFilterHandler leaves out HTTP.
func BenchmarkFilterHandler(b *testing.B) { withoutHTTP(b, VerbFilter, referenceFilter) }

// BenchmarkPrioritizeHandler leaves out HTTP.
func BenchmarkPrioritizeHandler(b *testing.B) { withoutHTTP(b, VerbPrioritize, referencePrioritize) }

// TestFilterAllocations: less than one a node. About 25 are made in all, whatever
// the number of nodes; the race detector adds some, as it empties pools at random.
func TestFilterAllocations(t *testing.T) {
	const nodes = 5_000
	rooms, body := benchCluster(t, nodes)
	options := testOptions(t)
	options.Rooms = rooms
	handler := newHandler(options)
	allocs := testing.AllocsPerRun(50, func() {
		handler.ServeHTTP(discard{}, httptest.NewRequest(http.MethodPost, "/"+VerbFilter, bytes.NewReader(body)))
	})
	if allocs > nodes/50 {
		t.Errorf("%.0f allocations for %d nodes", allocs, nodes)
	}
}

func overHTTP(b *testing.B, verb string, reference http.HandlerFunc) {
	forEach(b, reference, func(b *testing.B, handler http.Handler, body []byte) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		server := &http.Server{Handler: handler}
		go func() { _ = server.Serve(listener) }()
		defer server.Close()
		url := "http://" + listener.Addr().String() + "/" + verb
		client := newClient(b, nil)
		for b.Loop() {
			response, err := client.Post(url, "application/json", bytes.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
				b.Fatal(response.Status, err)
			}
			response.Body.Close()
		}
	})
}

func withoutHTTP(b *testing.B, verb string, reference http.HandlerFunc) {
	forEach(b, reference, func(b *testing.B, handler http.Handler, body []byte) {
		writer := discard{}
		for b.Loop() {
			handler.ServeHTTP(writer, httptest.NewRequest(http.MethodPost, "/"+verb, bytes.NewReader(body)))
		}
	})
}

// forEach runs a benchmark for each number of nodes, ours beside the reference.
func forEach(b *testing.B, reference http.HandlerFunc, run func(*testing.B, http.Handler, []byte)) {
	for _, nodes := range benchSizes {
		rooms, body := benchCluster(b, nodes)
		options := testOptions(b)
		options.Rooms = rooms
		for _, side := range []struct {
			name    string
			handler http.Handler
		}{{"slotwise", newHandler(options)}, {"reference", reference}} {
			b.Run(fmt.Sprintf("%s/%d", side.name, nodes), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(body)))
				run(b, side.handler, body)
			})
		}
	}
}

func referenceFilter(w http.ResponseWriter, r *http.Request) {
	var args extenderv1.ExtenderArgs
	if err := json.NewDecoder(r.Body).Decode(&args); err != nil {
		panic(err)
	}
	_ = json.NewEncoder(w).Encode(extenderv1.ExtenderFilterResult{NodeNames: args.NodeNames})
}

func referencePrioritize(w http.ResponseWriter, r *http.Request) {
	var args extenderv1.ExtenderArgs
	if err := json.NewDecoder(r.Body).Decode(&args); err != nil {
		panic(err)
	}
	priorities := make(extenderv1.HostPriorityList, len(*args.NodeNames))
	for i, name := range *args.NodeNames {
		priorities[i].Host = name
	}
	_ = json.NewEncoder(w).Encode(priorities)
}

// benchCluster is so many nodes, of which one in ten is refused, and the request
// about all of them.
func benchCluster(b testing.TB, nodes int) (fakeRooms, []byte) {
	rooms := make(fakeRooms, nodes)
	names := make([]string, nodes)
	for i := range names {
		names[i] = fmt.Sprintf("ip-10-%d-%d-%d.eu-central-1.compute.internal", i>>16, i>>8&255, i&255)
		rooms[names[i]] = capacity.Room{Free: int32(i % 4), Obtainable: 16, InUse: int32(i % 144)}
		if i%10 == 0 {
			rooms[names[i]] = capacity.Room{Reason: capacity.Full, InUse: 144}
		}
	}
	return rooms, []byte(marshal(b, extenderv1.ExtenderArgs{Pod: benchPod(), NodeNames: &names}))
}

// benchPod is a Windows pod of a Deployment as the scheduler sends it: 2 kB.
func benchPod() *corev1.Pod {
	pod := podAsking("1")
	pod.Labels = map[string]string{"app": "web", "pod-template-hash": "6b7c9d5f4"}
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-6b7c9d5f4", UID: "c0ffee"}}
	pod.Spec.NodeSelector = map[string]string{corev1.LabelOSStable: "windows"}
	pod.Spec.Tolerations = []corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
		{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
		{Key: "os", Value: "windows", Effect: corev1.TaintEffectNoSchedule},
	}
	main := &pod.Spec.Containers[0]
	main.Resources.Requests[corev1.ResourceMemory] = resource.MustParse("800Mi")
	main.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 80, Protocol: corev1.ProtocolTCP}}
	main.ReadinessProbe = &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready"}},
		PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
	}
	for i := range 12 {
		main.Env = append(main.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", i), Value: "a value of some length"})
	}
	pod.Spec.Volumes = []corev1.Volume{{Name: "kube-api-access-x7z2k", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}}
	main.VolumeMounts = []corev1.VolumeMount{{Name: "kube-api-access-x7z2k", ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}}
	pod.Status.Phase = corev1.PodPending
	return pod
}

// discard is a ResponseWriter for nobody.
type discard struct{}

func (discard) Header() http.Header              { return http.Header{} }
func (discard) Write(answer []byte) (int, error) { return len(answer), nil }
func (discard) WriteHeader(int)                  {}
