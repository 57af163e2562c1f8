package scheduler

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

const (
	address   = "vpc.amazonaws.com/PrivateIPv4Address"
	namespace = "default"
	ours      = "ours"
	// lag is how far the watches of the worlds here are behind at the most.
	lag = 20 * time.Millisecond
	// settle is long enough for a pod to be tried and bound.
	settle = 500 * time.Millisecond
)

// world is an API server with a scheduler.
type world struct {
	t      testing.TB
	server *apiserver.Server
	client *apiserver.Client
	link   *apiserver.Link
	ctx    context.Context

	mu        sync.Mutex
	failed    map[string]int // attempts, by pod
	messages  map[string]string
	preempted []string // victims
}

// inWorld runs a test in a bubble, with its own API server.
func inWorld(t *testing.T, test func(*world)) {
	synctest.Test(t, func(t *testing.T) { test(newWorld(t.Context(), t)) })
}

// pause lets time pass, and all that is to happen by then.
func pause(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func newWorld(ctx context.Context, t testing.TB) *world {
	ctx, cancel := context.WithCancel(ctx)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, server: apiserver.New(), failed: map[string]int{}, messages: map[string]string{}}
	w.link = apiserver.NewLink(apiserver.LinkOptions{Name: "scheduler", Conditions: apiserver.Conditions{
		Latency: apiserver.Spread{Min: time.Millisecond, Max: 2 * time.Millisecond},
		Lag:     apiserver.Spread{Min: time.Millisecond, Max: lag},
	}})
	w.client = w.server.Client(w.link)
	return w
}

// start starts a scheduler, and waits until it knows what there is.
func (w *world) start(o Options) {
	go w.scheduler(o).Run(w.ctx)
	pause(settle)
}

func (w *world) scheduler(o Options) *Scheduler {
	o.Server, o.Client, o.Managed = w.server, w.client, address
	if o.Name == "" {
		o.Name = ours
	}
	o.Failed = func(p *corev1.Pod, _ bool, message string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.failed[p.Name]++
		w.messages[p.Name] = message
	}
	o.Preempted = func(_, victim *corev1.Pod, _ string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.preempted = append(w.preempted, victim.Name)
	}
	return New(o)
}

// attempts counts the attempts to place a pod that have failed.
func (w *world) attempts(pod string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed[pod]
}

// says is the message of a pod's last attempt.
func (w *world) says(pod string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.messages[pod]
}

func (w *world) victims() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.preempted
}

// node adds a Node with so many addresses.
func (w *world) node(name string, addresses int) {
	w.t.Helper()
	list := corev1.ResourceList{"pods": quantity(110), "cpu": quantity(8), address: quantity(addresses)}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
	n.Status.Capacity, n.Status.Allocatable = list, list
	if _, err := w.server.Nodes().Create(n); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) changeNode(name string, change func(*corev1.Node)) {
	w.t.Helper()
	_, err := w.server.Nodes().Change(types.NamespacedName{Name: name}, "", func(n *corev1.Node) error {
		change(n)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	pause(settle)
}

func quantity(n int) resource.Quantity { return *resource.NewQuantity(int64(n), resource.DecimalSI) }

// pod adds a pod that asks for an address.
func (w *world) pod(name string, options ...func(*corev1.Pod)) {
	w.t.Helper()
	p := asking(name)
	for _, option := range options {
		option(p)
	}
	if _, err := w.server.Pods().Create(p); err != nil {
		w.t.Fatal(err)
	}
}

func asking(name string) *corev1.Pod {
	one := corev1.ResourceList{address: quantity(1)}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PodSpec{SchedulerName: ours, Containers: []corev1.Container{{
			Name: "main", Image: "nanoserver", Resources: corev1.ResourceRequirements{Requests: one, Limits: one},
		}}},
	}
}

func withPriority(n int32) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.Priority = &n } }

func on(node string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = node } }

func (w *world) get(name string) *corev1.Pod {
	w.t.Helper()
	p, there := w.server.Pods().Get(key(name))
	if !there {
		w.t.Fatalf("pod %s is not there", name)
	}
	return p
}

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// isOn checks on which node a pod is; empty: on none.
func (w *world) isOn(name, node string) {
	w.t.Helper()
	if got := w.get(name).Spec.NodeName; got != node {
		w.t.Errorf("pod %s is on node %q, want %q; it says %q", name, got, node, w.says(name))
	}
}

// end writes a phase.
func (w *world) setPhase(name string, phase corev1.PodPhase) {
	w.t.Helper()
	if _, err := w.server.Pods().Change(key(name), "", func(p *corev1.Pod) error {
		p.Status.Phase = phase
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
}

// remove removes a pod at once, as the last request of its kubelet does.
func (w *world) remove(name string) {
	w.t.Helper()
	if err := w.server.Pods().Delete(key(name), apiserver.Deletion{Grace: apiserver.Force()}); err != nil {
		w.t.Fatal(err)
	}
	pause(settle)
}

// fakeExtender lets everything through and binds, unless a function says otherwise.
type fakeExtender struct {
	w          *world
	filter     func(pod string, nodes []string) (*extenderv1.ExtenderFilterResult, error)
	prioritize func(nodes []string) extenderv1.HostPriorityList
	bind       func(p *corev1.Pod, node string) error
	preempt    func(map[string]*extenderv1.MetaVictims) (map[string]*extenderv1.MetaVictims, error)
}

func (f *fakeExtender) Filter(_ context.Context, p *corev1.Pod, nodes []string) (*extenderv1.ExtenderFilterResult, error) {
	if f.filter == nil {
		return &extenderv1.ExtenderFilterResult{NodeNames: &nodes}, nil
	}
	return f.filter(p.Name, nodes)
}

// refuse lets no node through.
func refuse(_ string, nodes []string) (*extenderv1.ExtenderFilterResult, error) {
	failed := extenderv1.FailedNodesMap{}
	for _, n := range nodes {
		failed[n] = "no address"
	}
	return &extenderv1.ExtenderFilterResult{NodeNames: &[]string{}, FailedAndUnresolvableNodes: failed}, nil
}

func (f *fakeExtender) Prioritize(_ context.Context, _ *corev1.Pod, nodes []string) (extenderv1.HostPriorityList, error) {
	if f.prioritize == nil {
		return nil, fmt.Errorf("no scores")
	}
	return f.prioritize(nodes), nil
}

func (f *fakeExtender) Bind(ctx context.Context, p *corev1.Pod, node string) error {
	if f.bind != nil {
		return f.bind(p, node)
	}
	return f.w.client.Bind(ctx, apiserver.Assignment{Pod: keyOf(p), UID: p.UID, Node: node, Annotations: map[string]string{address: "10.0.0.1/32"}})
}

func (f *fakeExtender) Preempt(_ context.Context, _ *corev1.Pod, candidates map[string]*extenderv1.MetaVictims) (map[string]*extenderv1.MetaVictims, error) {
	if f.preempt == nil {
		return candidates, nil
	}
	return f.preempt(candidates)
}

type (
	answer = extenderv1.ExtenderFilterResult
	list   = extenderv1.HostPriorityList
	metas  = map[string]*extenderv1.MetaVictims
)

func nodeKey(name string) types.NamespacedName { return types.NamespacedName{Name: name} }
