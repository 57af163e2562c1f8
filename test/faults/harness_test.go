package faults

import (
	"context"
	"maps"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"slotwise.dev/slotwise/allocator"
	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/cloud"
	slotwiseconfig "slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/controllers"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/metrics"
	"slotwise.dev/slotwise/allocator/policy"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
	"slotwise.dev/slotwise/test/witness"
)

// testLabel is the label of a test's nodes: its namespace. A process follows the
// nodes of its own test only.
const testLabel = "faults.slotwise.dev/test"

// harness is what one test has to itself: a namespace, an EC2, one process of Slotwise
// at a time, and a witness of it all.
type harness struct {
	*process  // the one that runs
	t         *testing.T
	namespace string
	ec2       *ec2sim.Server
	cidr      netip.Prefix // of the first subnet
	subnet    string       // its id
	log       *diary
	witness   *witness.Witness
	began     time.Time
}

// process is what would be one process of Slotwise: an allocator under a
// controller-runtime manager, wired as cmd/slotwise wires it.
type process struct {
	*allocator.Allocator
	wire    *wire
	toEC2   *httptest.Server // in front of the EC2, the process's own way to it
	metrics *prometheus.Registry
	leads   atomic.Bool
	end     context.CancelFunc
	ended   chan error
}

// settings of the ConfigMap, beyond that Slotwise is on.
type settings map[string]string

var (
	secondaryMode = settings{}
	prefixMode    = settings{"enable-windows-prefix-delegation": "true"}
)

// latency is that of EC2, where a test does not say otherwise.
const latency = 20 * time.Millisecond

// start prepares a test and starts Slotwise, in a subnet of its own: a /24, in which EC2 can give 14
// prefixes, or 13 beside the primary addresses of nodes.
func start(t *testing.T, s settings) *harness {
	return startIn(t, freshRange(24), s)
}

// startIn does the same in a subnet of the given range.
func startIn(t *testing.T, cidr netip.Prefix, with settings) *harness {
	t.Helper()
	h := prepare(t, cidr, with)
	h.run()
	return h
}

// prepare makes all that a test has but the process.
func prepare(t *testing.T, cidr netip.Prefix, with settings) *harness {
	t.Helper()
	if err := starts.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := &harness{
		t: t, namespace: shared.NewNamespace(t), log: &diary{}, cidr: cidr,
		ec2: ec2sim.New(ec2sim.Options{Latency: map[string]ec2sim.Latency{ec2sim.AnyAction: {Mean: latency}}}),
	}
	t.Cleanup(h.ec2.Close)
	h.watch()
	h.subnet = h.addSubnet(cidr)
	h.configure(with)
	t.Cleanup(h.conclude)
	return h
}

// watch has a witness watch the pods of the test from now on.
func (h *harness) watch() {
	ctx, end := context.WithCancel(context.Background())
	h.t.Cleanup(end)
	h.began, h.witness = time.Now(), witness.New(&clock, h.ec2, ours)
	h.witness.Follow(ctx, shared.Client, h.namespace)
}

// conclude ends what runs, and holds what the witness has seen against the test.
func (h *harness) conclude() {
	if h.process != nil {
		h.stop()
	}
	for _, v := range h.witness.Violations() {
		if v.Broken() {
			h.t.Error(h.witness.History(v, h.began))
		}
	}
	if err := h.ec2.Check(); err != nil {
		h.t.Error(err)
	}
	if h.t.Failed() {
		h.t.Log("what Slotwise said:\n" + h.log.String())
	}
}

// addSubnet adds a subnet and returns its id.
func (h *harness) addSubnet(cidr netip.Prefix) string {
	h.t.Helper()
	id := "subnet-" + strings.NewReplacer(".", "-", "/", "-").Replace(cidr.String())
	h.must(h.ec2.AddSubnet(id, testenv.Zone, cidr))
	return id
}

// configure writes the ConfigMap, all of it.
func (h *harness) configure(with settings) {
	h.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: testenv.ConfigMap.Name}}
	cm.Data = map[string]string{"enable-windows-ipam": "true"}
	maps.Copy(cm.Data, with)
	err := shared.Kube.Create(h.t.Context(), cm.DeepCopy())
	if client.IgnoreAlreadyExists(err) == nil && err != nil {
		err = shared.Kube.Update(h.t.Context(), cm)
	}
	h.must(err)
}

// run starts a process of Slotwise, on a wire with the given faults. It leads: no
// other is there, so no lease is needed.
func (h *harness) run(faults ...func(*wire)) {
	h.t.Helper()
	p := &process{wire: &wire{}, toEC2: httptest.NewServer(h.ec2), metrics: prometheus.NewRegistry(), ended: make(chan error, 1)}
	for _, fault := range faults {
		fault(p.wire)
	}
	p.leads.Store(true)
	rc := p.wire.config(shared.Admin)
	configMap := types.NamespacedName{Namespace: h.namespace, Name: testenv.ConfigMap.Name}
	mgr, err := ctrl.NewManager(rc, ctrl.Options{
		Logger:     logr.Discard(),
		Scheme:     scheme,
		Cache:      h.watched(configMap),
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&v1alpha1.NodeSlots{}}}},
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: ctrlconfig.Controller{SkipNameValidation: new(true)}, // every test has the same controllers
	})
	h.must(err)
	h.witness.Note(witness.Note{Text: "a process starts", Harm: true})
	api, err := kubernetes.NewForConfig(rc)
	h.must(err)
	ec2, err := cloud.Dial(h.t.Context(), testenv.Region, p.toEC2.URL,
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("AKIDSIMULATED", "simulated", "")))
	h.must(err)
	m, report := metrics.New(p.metrics), events.Reporter{Recorder: mgr.GetEventRecorder("slotwise")}
	p.Allocator = allocator.New(allocator.Options{
		Cloud:     cloud.New(ec2, cloud.Options{Observe: m.Call}),
		Pods:      kube.NewPods(api),
		Bound:     kube.BoundPods(api),
		Nodes:     kube.NewNodes(api),
		NodeSlots: kube.NewNodeSlots(mgr.GetClient(), p.leads.Load),
		Events:    report,
		Metrics:   m,
		Log:       h.log.logger(),
		Lease:     leadership{&p.leads},
		Policy:    policy.Manage(),
		ConfigMap: configMap,
	})
	h.must(controllers.Setup(mgr, controllers.Options{
		Fleet: p.Allocator, Config: &slotwiseconfig.Reader{ConfigMap: configMap}, Events: report, Log: h.log.logger(),
	}))
	ctx, end := context.WithCancel(context.Background())
	p.end = end
	go func() { p.ended <- mgr.Start(ctx) }()
	h.process = p
}

// watched is the cache of cmd/slotwise, without the nodes of other tests.
func (h *harness) watched(configMap types.NamespacedName) cache.Options {
	o := controllers.CacheOptions(configMap)
	mine, err := labels.NewRequirement(testLabel, selection.Equals, []string{h.namespace})
	h.must(err)
	for object, by := range o.ByObject {
		if _, ok := object.(*corev1.Node); ok {
			if by.Label == nil {
				by.Label = labels.Everything()
			}
			by.Label = by.Label.Add(*mine)
			o.ByObject[object] = by
		}
	}
	return o
}

// stop ends the process in order, as SIGTERM does.
func (h *harness) stop() {
	h.t.Helper()
	if err := h.finish(); err != nil {
		h.t.Error("Slotwise ended with", err)
	}
	h.process = nil
}

// finish ends a process in order, and returns what it ends with.
func (p *process) finish() error {
	p.end()
	err := <-p.ended
	p.toEC2.Close()
	return err
}

// kill ends the process at once, as SIGKILL does: nothing that it does from here
// on reaches the API server or EC2. What was under way there goes on there.
func (h *harness) kill() {
	h.witness.Note(witness.Note{Text: "the process is killed", Harm: true})
	h.wire.away()
	h.toEC2.CloseClientConnections()
	go h.toEC2.Close() // waits for what is under way
	h.end()
	h.t.Log("the process that was killed ended with", <-h.ended)
	h.process = nil
}

// must ends the test where there is an error.
func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// The pauses of await grow, so that the many tests which wait for long do not keep
// the API server busy.
const (
	firstPause   = 50 * time.Millisecond
	lastPause    = time.Second
	awaitTimeout = 3 * time.Minute
)

// await waits until check finds nothing wrong.
func (h *harness) await(what string, check func() error) {
	h.t.Helper()
	began, pause := time.Now(), firstPause
	for err := check(); err != nil; err = check() {
		if time.Since(began) > awaitTimeout {
			h.t.Fatalf("wait until %s: %v", what, err)
		}
		time.Sleep(pause)
		pause = min(pause*5/4, lastPause)
	}
}

// within waits like await, but no longer than limit, and lets the test go on.
func (h *harness) within(limit time.Duration, what string, check func() error) bool {
	h.t.Helper()
	began := time.Now()
	err := check()
	for ; err != nil && time.Since(began) < limit; err = check() {
		time.Sleep(firstPause)
	}
	if err != nil {
		h.t.Errorf("within %s: %s: %v", limit, what, err)
	}
	return err == nil
}

// diary keeps what Slotwise logs, for a test that fails.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) logger() logr.Logger {
	return funcr.New(func(_, args string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.lines = append(d.lines, time.Now().Format("15:04:05.000 ")+args)
	}, funcr.Options{})
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, "\n")
}

// leadership is the lease of a process that leads, or does not.
type leadership struct{ leads *atomic.Bool }

func (l leadership) Held() bool { return l.leads.Load() }

func (l leadership) Left() time.Duration { return time.Minute }

func (l leadership) Late() bool { return false }
