package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/annotate"
	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/budget"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/metrics"
	"slotwise.dev/slotwise/allocator/nodeslots"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/policy"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/test/ec2sim"
	simec2 "slotwise.dev/slotwise/test/sim/ec2"
)

// The two prefixes of the subnet that a world has.
var (
	prefix = netip.MustParsePrefix("10.0.0.16/28")
	second = netip.MustParsePrefix("10.0.0.32/28")
)

// errAway is that the API server does not answer.
var errAway = errors.New("the API server is away")

// at is an address of the first prefix.
func at(i byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, 16 + i}) }

// gate lets the process do everything, until a test says otherwise.
type gate struct {
	follows, off atomic.Bool
	podsRead     chan struct{}
}

func (g *gate) Leads() bool               { return !g.follows.Load() }
func (g *gate) On() bool                  { return !g.off.Load() }
func (g *gate) PodsRead() <-chan struct{} { return g.podsRead }

// listener remembers which nodes have gone, and how often one could do more.
type listener struct {
	mu    sync.Mutex
	gone  []string // why
	grew  int
	named int
}

func (l *listener) Changed(_ *Node, grew bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if grew {
		l.grew++
	}
}

func (l *listener) Named(*Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.named++
}

func (l *listener) Gone(_ *Node, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = append(l.gone, why)
}

// goneBy are the reasons why the node has gone.
func (l *listener) goneBy() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.gone)
}

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

// of are the events of one reason since they were asked for last.
func (r *recorder) of(reason string) (of []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	is := func(note string) bool { return strings.HasPrefix(note, reason+": ") }
	for _, note := range r.notes {
		if is(note) {
			of = append(of, note)
		}
	}
	r.notes = slices.DeleteFunc(r.notes, is)
	return of
}

// store is the one NodeSlots object, "" where there is none.
type store struct {
	mu     sync.Mutex
	status *v1alpha1.NodeSlotsStatus
	fail   error // of writes; nil: none
}

func (s *store) Read(context.Context, string) (v1alpha1.NodeSlotsStatus, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status == nil {
		return v1alpha1.NodeSlotsStatus{}, "", apierrors.NewNotFound(schema.GroupResource{Resource: "nodeslots"}, "win-1")
	}
	return *s.status, "1", nil
}

func (s *store) Write(_ context.Context, _, _ string, status v1alpha1.NodeSlotsStatus) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.status = &status
	}
	return "1", s.fail
}

func (s *store) Remove(context.Context, string) error { return nil }

// fails has writes fail from now on, or succeed.
func (s *store) fails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// bound are the pods of the API server: those on the Nodes, and what is annotated.
type bound struct {
	kube.Pods
	mu        sync.Mutex
	on        map[string][]corev1.Pod
	lists     int
	fail      error // of lists; nil: none
	annotated map[types.UID]netip.Prefix
}

func (b *bound) OnNode(_ context.Context, node string) ([]corev1.Pod, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lists++
	return b.on[node], b.fail
}

func (b *bound) Annotate(_ context.Context, _ types.NamespacedName, uid types.UID, address netip.Prefix) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.annotated[uid] = address
	return nil
}

// given are the addresses that pods were annotated with.
func (b *bound) given() map[types.UID]netip.Prefix {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.annotated)
}

// heard hears of the budget and of the watch, and passes on what concerns the node.
type heard struct{ world *world }

func (h heard) RoomChanged(string, bool) { h.world.node.Wake() }
func (h heard) Described(b *budget.Budget, shown cloud.Subnet) {
	h.world.node.Interface.Described(b, shown)
}
func (heard) PodsRead()            {}
func (heard) Bound(types.UID)      {}
func (heard) Shared(_, _ pods.Pod) {}

// Home is the node, whatever Node is asked for: the world has no other.
func (h heard) Home(string) pods.Home { return h.world.node }

// world is EC2 with one instance of two usable slots, in a subnet with two whole
// prefixes, and the node win-1 of that instance.
type world struct {
	ec2      *ec2sim.Server
	eni      string
	instance string
	gate     *gate
	told     *listener
	events   *recorder
	store    *store
	api      *bound
	setting  atomic.Pointer[settings.Settings]
	shared   *Shared
	node     *Node
}

// newWorld is a world of which the node knows nothing yet. Mode is prefix, the policy
// manage.
func newWorld(t *testing.T, p policy.Policy) *world {
	t.Helper()
	w := &world{
		ec2: ec2sim.New(ec2sim.Options{Types: []ec2sim.Type{
			{Name: "two.slots", Interfaces: 1, Addresses: 3, Hypervisor: ec2sim.Nitro},
			{Name: "two.old", Interfaces: 1, Addresses: 3, Hypervisor: ec2sim.Xen},
			{Name: "two.unknown", Interfaces: 1, Addresses: 3, Hypervisor: ec2sim.Nitro, Hidden: true},
		}}),
		instance: "i-1", gate: &gate{podsRead: make(chan struct{})}, told: &listener{}, events: &recorder{},
		store: &store{}, api: &bound{on: map[string][]corev1.Pod{}, annotated: map[types.UID]netip.Prefix{}},
	}
	close(w.gate.podsRead)
	w.set(settings.Settings{Enabled: true, Mode: ledger.Prefix})
	if err := w.ec2.AddSubnet("subnet-1", "zone-a", netip.MustParsePrefix("10.0.0.0/26")); err != nil {
		t.Fatal(err)
	}
	w.eni = w.run(t, "i-1", "two.slots")
	log := testr.New(t)
	index, client := pods.NewIndex(), cloud.New(simec2.NewClient(w.ec2, nil), cloud.Options{})
	w.shared = &Shared{
		EC2: client, Pods: index, Policy: p, Gate: w.gate, Listener: w.told,
		Subnets:     budget.NewSubnets(budget.Options{Describer: client, Listener: heard{w}, Next: p.NextLook, Log: log}),
		Watch:       pods.NewWatch(pods.Options{Index: index, Router: heard{w}, Listener: heard{w}, OnNode: w.api.OnNode, Resource: p.Resource()}),
		NodeSlots:   nodeslots.New(nodeslots.Options{Store: w.store, Log: log, Find: func(string) *nodeslots.Object { return w.node.Slots }}),
		Annotations: annotate.New(annotate.Options{Pods: w.api, Find: func(string) annotate.Owner { return w.node.Binds }, Events: events.Reporter{Recorder: w.events}, Log: log}),
		Settings:    func() settings.Settings { return *w.setting.Load() },
		Free:        func() int { return 0 },
		Arrivals:    &Arrivals{},
		Events:      events.Reporter{Recorder: w.events},
		Metrics:     metrics.New(prometheus.NewRegistry()),
		Log:         log,
	}
	w.node = New(w.shared, "win-1", w.instance)
	t.Cleanup(func() { time.Sleep(2 * time.Minute) }) // for what ends by itself
	go w.shared.Annotations.Run(t.Context())
	go w.shared.NodeSlots.Run(t.Context())
	return w
}

// run adds an instance to EC2.
func (w *world) run(t *testing.T, instance, kind string) (eni string) {
	t.Helper()
	i, err := w.ec2.AddInstance(ec2sim.Instance{ID: instance, Type: kind, Subnet: "subnet-1", Address: netip.MustParseAddr("10.0.0.4").Next()})
	if err != nil {
		t.Fatal(err)
	}
	return i.ID
}

func (w *world) set(s settings.Settings) { w.setting.Store(&s) }

// virtually runs a test in virtual time on a world whose node is ready, with the first
// prefix on its interface and all of it free, and shows its kubelet as much.
func virtually(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Manage())
		w.assign(t, prefix)
		w.open(t, prefix)
		w.node.Shown.Note("win-1", 32, time.Now())
		time.Sleep(kubeletLag)
		test(t, w)
	})
}

// open opens the node as discovery does, where these addresses were promised to be free.
func (w *world) open(t *testing.T, free ...netip.Prefix) {
	t.Helper()
	b, err := w.shared.Subnets.Budget(t.Context(), "subnet-1")
	if err != nil {
		t.Fatal(err)
	}
	eni, err := w.shared.EC2.Interface(t.Context(), w.eni)
	if err != nil {
		t.Fatal(err)
	}
	(&discovery{w.node.core, w.node.Slots}).open(discovered{
		instance: cloud.Instance{ID: w.instance, PrimaryENI: w.eni}, limits: cloud.Limits{AddressesPerInterface: 3, Nitro: true},
		budget: b, eni: eni, free: free,
	})
}

// worker is the node's, that the test moves on by itself.
func (w *world) worker() *worker {
	return newWorker(w.node.core, w.node.Binds, w.node.Interface, time.Now())
}

// serve runs a worker until the test ends, and the fleet's clock.
func (w *world) serve(t *testing.T) {
	go w.worker().run(t.Context())
	go w.every(t.Context(), time.Second, func() { w.node.Tick(time.Now()) })
	go w.every(t.Context(), 10*time.Second, func() { w.node.Interface.Confirm(t.Context()) })
}

func (w *world) every(ctx context.Context, interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

// assign is another client of EC2 that puts a prefix on the node's interface.
func (w *world) assign(t *testing.T, prefixes ...netip.Prefix) {
	t.Helper()
	if _, err := w.ec2.Assign(w.eni, ec2sim.Request{Slots: ec2sim.Slots{Prefixes: prefixes}}); err != nil {
		t.Fatal(err)
	}
}

// take is another client that takes one away.
func (w *world) take(t *testing.T, prefixes ...netip.Prefix) {
	t.Helper()
	if err := w.ec2.Unassign(w.eni, ec2sim.Slots{Prefixes: prefixes}); err != nil {
		t.Fatal(err)
	}
}

// onENI are the prefixes that the interface has.
func (w *world) onENI() []netip.Prefix {
	i, _ := w.ec2.Interface(w.eni)
	return i.Prefixes
}

// calls are the calls of one action so far.
func (w *world) calls(action cloud.Action) (n int) {
	for _, c := range w.ec2.Calls() {
		if c.Action == string(action) {
			n++
		}
	}
	return n
}

// pod is one that the watch has shown on the node; an address that is not valid is none.
func pod(uid types.UID, address netip.Addr) pods.Pod {
	return pods.Pod{
		UID: uid, Key: types.NamespacedName{Namespace: "default", Name: string(uid)}, Node: "win-1",
		Address: address, Kind: ledger.Prefix, Asks: 1, Wants: true,
	}
}

// uids are the names of so many pods.
func uids(first rune, n int) (all []types.UID) {
	for i := range n {
		all = append(all, types.UID(first+rune(i)))
	}
	return all
}

// holds has pods hold the first addresses of the prefix.
func (w *world) holds(n int) {
	for i, uid := range uids('a', n) {
		w.node.Observe(pod(uid, at(byte(i))))
	}
}

// waits has so many pods wait that another scheduler has bound.
func (w *world) waits(n int) {
	for _, uid := range uids('A', n) {
		w.node.Observe(pod(uid, netip.Addr{}))
	}
}

// state is what the node knows, for a test that looks at it.
func (w *world) state(look func(s *state)) {
	w.node.core.mu.Lock()
	defer w.node.core.mu.Unlock()
	look(&w.node.core.state)
}

// counts are the ledger's.
func (w *world) counts() (c ledger.Counts) {
	w.state(func(s *state) { c = s.ledger.Counts() })
	return c
}

// holder is which address the ledger has for a pod.
func (w *world) holder(uid types.UID) (a netip.Addr, known bool) {
	w.state(func(s *state) { a, known = s.ledger.Holder(uid) })
	return a, known
}

// available is how many prefixes of the subnet nobody has claimed.
func (w *world) available() int { return w.node.core.budget.Available(ledger.Prefix) }

// obtain is a bind as far as its address.
func (w *world) obtain(ctx context.Context, uid types.UID) (*pods.Attempt, netip.Prefix, error) {
	return w.node.Binds.Obtain(ctx, types.NamespacedName{Namespace: "default", Name: string(uid)}, uid)
}
