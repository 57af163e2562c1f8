package allocator

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/metrics"
	"slotwise.dev/slotwise/allocator/node"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/policy"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/test/ec2sim"
	simec2 "slotwise.dev/slotwise/test/sim/ec2"
)

// apiServer remembers what is written to it. Its NodeSlots objects take no writes.
type apiServer struct {
	mu      sync.Mutex
	on      map[string][]corev1.Pod // by Node
	bound   []kube.Binding
	evicted []types.UID
	shown   map[string][]int // totals by Node, in their order
}

func newAPIServer() *apiServer {
	return &apiServer{on: map[string][]corev1.Pod{}, shown: map[string][]int{}}
}

// Get has every pod pending, with its name for a UID.
func (s *apiServer) Get(_ context.Context, pod types.NamespacedName) (*corev1.Pod, error) {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: types.UID(pod.Name)}}, nil
}

func (s *apiServer) OnNode(_ context.Context, node string) ([]corev1.Pod, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on[node], nil
}

func (s *apiServer) Bind(_ context.Context, b kube.Binding) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bound = append(s.bound, b)
	return nil
}

func (s *apiServer) Annotate(context.Context, types.NamespacedName, types.UID, netip.Prefix) error {
	return nil
}

func (s *apiServer) Evict(_ context.Context, _ types.NamespacedName, uid types.UID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evicted = append(s.evicted, uid)
	return nil
}

func (s *apiServer) Advertise(_ context.Context, node string, a kube.Advert) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown[node] = append(s.shown[node], a.Total)
	return nil
}

// totals are what a Node has shown, one after the other.
func (s *apiServer) totals(node string) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.shown[node])
}

// bindings are those that were posted.
func (s *apiServer) bindings() []kube.Binding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bound)
}

// evictions are the pods that were evicted.
func (s *apiServer) evictions() []types.UID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.evicted)
}

// has puts pods on a Node.
func (s *apiServer) has(node string, list []corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on[node] = list
}

// noSlots is an API server without NodeSlots objects.
type noSlots struct{}

func (noSlots) Read(_ context.Context, name string) (v1alpha1.NodeSlotsStatus, string, error) {
	return v1alpha1.NodeSlotsStatus{}, "", notFound("nodeslots", name)
}

func (noSlots) Write(context.Context, string, string, v1alpha1.NodeSlotsStatus) (string, error) {
	return "1", nil
}

func (noSlots) Remove(context.Context, string) error { return nil }

func notFound(kind, name string) error {
	return apierrors.NewNotFound(schema.GroupResource{Resource: kind}, name)
}

// noPods lists no pods, and has no news of any.
type noPods struct{ *cache.ListWatch }

// IsWatchListSemanticsUnSupported has the reflector list before it watches.
func (noPods) IsWatchListSemanticsUnSupported() bool { return true }

// recorder remembers the events, as "reason: note".
type recorder struct {
	mu    sync.Mutex
	notes []string
}

func (r *recorder) Eventf(_, _ runtime.Object, _, reason, _, note string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, reason+": "+fmt.Sprintf(note, args...))
}

// of are the events of one reason.
func (r *recorder) of(reason string) (of []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, note := range r.notes {
		if strings.HasPrefix(note, reason+": ") {
			of = append(of, note)
		}
	}
	return of
}

// fleet is an allocator that leads, and is on in prefix mode, with an EC2 that has a
// subnet of 10 whole prefixes.
type fleet struct {
	*Allocator
	ec2     *ec2sim.Server
	api     *apiServer
	events  *recorder
	metrics *metrics.Metrics
	follows atomic.Bool // it has lost its lease
}

func newFleet(t testing.TB, p policy.Policy) *fleet {
	t.Helper()
	f := &fleet{api: newAPIServer(), events: &recorder{}, metrics: metrics.New(prometheus.NewRegistry()), ec2: ec2sim.New(ec2sim.Options{Types: []ec2sim.Type{
		{Name: "no.slots", Interfaces: 1, Addresses: 1, Hypervisor: ec2sim.Nitro},
		{Name: "two.slots", Interfaces: 1, Addresses: 3, Hypervisor: ec2sim.Nitro},
	}})}
	if err := f.ec2.AddSubnet("subnet-1", "zone-a", netip.MustParsePrefix("10.0.0.0/18")); err != nil {
		t.Fatal(err)
	}
	f.Allocator = New(Options{
		Cloud: cloud.New(simec2.NewClient(f.ec2, nil), cloud.Options{}),
		Pods:  f.api, Nodes: f.api, NodeSlots: noSlots{},
		Bound: noPods{&cache.ListWatch{
			ListWithContextFunc:  func(context.Context, metav1.ListOptions) (runtime.Object, error) { return &corev1.PodList{}, nil },
			WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) { return watch.NewFake(), nil },
		}},
		Events: events.Reporter{Recorder: f.events}, Metrics: f.metrics, Log: logr.Discard(),
		Lease: lease{&f.follows}, Policy: p,
		ConfigMap: types.NamespacedName{Namespace: "kube-system", Name: "settings"},
	})
	f.set(settings.Settings{Enabled: true, Mode: ledger.Prefix})
	return f
}

// newFleetOfOne is one in virtual time with one node of two slots, win-1 of instance i-1,
// that has not been read yet.
func newFleetOfOne(t *testing.T) *fleet {
	t.Helper()
	f := newFleet(t, policy.Manage())
	t.Cleanup(func() { time.Sleep(2 * time.Minute) }) // for what ends by itself
	f.instance(t, "i-1", "two.slots", "")
	f.AddNode(Member{Name: "win-1", Instance: "i-1", Ready: true, Created: registered})
	return f
}

func (f *fleet) set(s settings.Settings) { f.Apply(config.State{Settings: s}) }

// instance adds one to EC2.
func (f *fleet) instance(t testing.TB, id, kind, dns string) (eni string) {
	t.Helper()
	i, err := f.ec2.AddInstance(ec2sim.Instance{ID: id, Type: kind, Subnet: "subnet-1", DNSName: dns})
	if err != nil {
		t.Fatal(err)
	}
	return i.ID
}

// begin runs the workers of the nodes, and what writes for them, until ctx ends. The pods
// of the cluster count as read.
func (f *fleet) begin(ctx context.Context) {
	for _, run := range []func(context.Context){f.annotator.Run, f.advertiser.Run, f.recorder.Run, f.evictor.Run} {
		go run(ctx)
	}
	close(f.gate.podsRead)
	f.nodes.start(ctx)
}

// workers is how many of them are remembered.
func (f *fleet) workers() int {
	f.nodes.mu.Lock()
	defer f.nodes.mu.Unlock()
	return len(f.nodes.last)
}

// virtually runs a test in virtual time on a fleet of one node of two slots, win-1 of
// instance i-1, that has been discovered and warmed up with one prefix.
func virtually(t *testing.T, test func(t *testing.T, f *fleet, n *node.Node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFleetOfOne(t)
		f.begin(t.Context())
		time.Sleep(time.Minute)
		test(t, f, f.nodes.find("win-1"))
	})
}

var registered = time.Unix(1_000_000, 0)

// pod is one that the watch has shown on win-1; an address that is not valid is none.
func pod(uid types.UID, address netip.Addr) pods.Pod {
	return pods.Pod{
		UID: uid, Key: types.NamespacedName{Namespace: "default", Name: string(uid)}, Node: "win-1",
		Address: address, Kind: ledger.Prefix, Asks: 1, Wants: true,
	}
}

// pendingPod is one that is to be scheduled.
func pendingPod(uid types.UID, priority int32) capacity.Pod {
	return capacity.Pod{Key: types.NamespacedName{Namespace: "default", Name: string(uid)}, UID: uid, Priority: priority}
}

// fill has 32 pods, from a on, hold all that the node can have.
func (f *fleet) fill(t *testing.T, n *node.Node) {
	t.Helper()
	for i := range 32 {
		n.Observe(pod(types.UID(rune('a'+i)), netip.Addr{}))
	}
	time.Sleep(10 * time.Second)
	if c, available := n.Capacity(); c.InUse != 32 || c.Remaining(available) != 0 {
		t.Fatalf("%+v, want 32 in use and nothing left", c.Counts)
	}
}

// seen is what one Node can give to a pod.
func (f *fleet) seen(p capacity.Pod, name string) (room capacity.Room) {
	f.View(p, func(lookup func([]byte) capacity.Room) { room = lookup([]byte(name)) })
	return room
}

// lease is held for a minute at each moment, unless another leads.
type lease struct{ lost *atomic.Bool }

func (l lease) Held() bool { return !l.lost.Load() }

func (l lease) Left() time.Duration { return time.Minute }

func (l lease) Late() bool { return false }
