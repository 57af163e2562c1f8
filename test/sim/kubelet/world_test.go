package kubelet

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

const (
	resourceName = AddressAnnotation
	outOfAddress = "OutOf" + resourceName
	namespace    = "default"
	node         = "a"

	// nodeLag is how far the watch of the Node is behind, teardown how long sandboxes
	// live on, and settle long enough for everything else.
	nodeLag  = 2 * time.Second
	teardown = 5 * time.Second
	deletion = 3 * time.Second
	settle   = 200 * time.Millisecond
)

// world is an API server with one machine.
type world struct {
	t       testing.TB
	server  *apiserver.Server
	link    *apiserver.Link // of pods and requests
	machine *Machine
	ctx     context.Context
	stop    context.CancelFunc // ends the kubelet's life
	over    chan struct{}      // closed at its end

	mu       sync.Mutex
	rejected []Rejection
}

// inWorld runs a test in a bubble, with a kubelet whose Node has that many addresses.
func inWorld(t *testing.T, addresses int, test func(*world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(false)
		w.advertise(addresses)
		pause(nodeLag)
		test(w)
		w.stop()
		<-w.over
	})
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, server: apiserver.New(), ctx: t.Context()}
	link := func(lag time.Duration) *apiserver.Link {
		return apiserver.NewLink(apiserver.LinkOptions{Conditions: apiserver.Conditions{
			Latency: apiserver.Spread{Min: time.Millisecond, Max: 2 * time.Millisecond},
			Lag:     apiserver.Spread{Min: lag, Max: lag},
		}})
	}
	w.link = link(10 * time.Millisecond)
	w.machine = NewMachine(Options{
		Node: &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{corev1.LabelOSStable: "windows"}},
			Status: corev1.NodeStatus{
				Capacity:  corev1.ResourceList{"pods": quantity(5), "cpu": quantity(4)},
				Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.4"}},
			},
		},
		Server: w.server, Client: w.server.Client(w.link), NodeClient: w.server.Client(link(nodeLag)),
		Ready:    apiserver.Spread{Min: time.Second, Max: time.Second},
		Teardown: apiserver.Spread{Min: teardown, Max: teardown}, Deletion: apiserver.Spread{Min: deletion, Max: deletion},
		Rejected: func(r Rejection) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.rejected = append(w.rejected, r)
		},
	})
	return w
}

// start begins a life of the kubelet.
func (w *world) start(anew bool) {
	ctx, stop := context.WithCancel(w.ctx)
	w.stop, w.over = stop, make(chan struct{})
	go func() {
		defer close(w.over)
		w.machine.Run(ctx, anew)
	}()
	pause(nodeLag + settle)
}

// pause lets time pass, and all that is to happen by then.
func pause(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func quantity(n int) resource.Quantity { return *resource.NewQuantity(int64(n), resource.DecimalSI) }

// advertise writes how many addresses the Node has, which the kubelet does not know yet.
func (w *world) advertise(n int) {
	w.changeNode(func(x *corev1.Node) {
		x.Status.Capacity[resourceName], x.Status.Allocatable[resourceName] = quantity(n), quantity(n)
	})
}

func (w *world) changeNode(change func(*corev1.Node)) {
	w.t.Helper()
	if _, err := w.server.Nodes().Change(types.NamespacedName{Name: node}, "", func(n *corev1.Node) error {
		change(n)
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) node() *corev1.Node {
	w.t.Helper()
	n, there := w.server.Nodes().Get(types.NamespacedName{Name: node})
	if !there {
		w.t.Fatal("the Node is not there")
	}
	return n
}

// annotations are those of a pod, in pairs.
func annotations(pairs ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for i := 0; i < len(pairs); i += 2 {
			p.Annotations[pairs[i]] = pairs[i+1]
		}
	}
}

// bind adds a pod with an address on the node, and lets the kubelet see it.
func (w *world) bind(name string, options ...func(*corev1.Pod)) {
	w.t.Helper()
	w.create(name, append([]func(*corev1.Pod){annotations(AddressAnnotation, "10.0.0.7/32")}, options...)...)
	pause(settle)
}

func (w *world) create(name string, options ...func(*corev1.Pod)) {
	w.t.Helper()
	one := corev1.ResourceList{resourceName: quantity(1)}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{}},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{
			Name: "main", Resources: corev1.ResourceRequirements{Requests: one, Limits: one},
		}}},
	}
	for _, option := range options {
		option(p)
	}
	if _, err := w.server.Pods().Create(p); err != nil {
		w.t.Fatal(err)
	}
}

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func (w *world) get(name string) *corev1.Pod {
	w.t.Helper()
	p, there := w.server.Pods().Get(key(name))
	if !there {
		w.t.Fatalf("pod %s is not there", name)
	}
	return p
}

// is checks the phase of a pod; empty: its object has gone.
func (w *world) is(name string, phase corev1.PodPhase) {
	w.t.Helper()
	p, there := w.server.Pods().Get(key(name))
	switch {
	case !there && phase != "":
		w.t.Errorf("pod %s has gone, want %s", name, phase)
	case there && p.Status.Phase != phase:
		w.t.Errorf("pod %s is %s (%s), want %q", name, p.Status.Phase, p.Status.Reason, phase)
	}
}

// isOutOf checks that a pod was rejected, and that this was told.
func (w *world) isOutOf(name, reason string) {
	w.t.Helper()
	w.is(name, corev1.PodFailed)
	if got := w.get(name).Status.Reason; got != reason {
		w.t.Errorf("pod %s has the reason %q, want %s", name, got, reason)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.ContainsFunc(w.rejected, func(r Rejection) bool { return r.Pod.Name == name && r.Reason == reason }) {
		w.t.Errorf("nobody was told of %s, but of %d others", name, len(w.rejected))
	}
}

func (w *world) remove(name string, grace *int64) {
	w.t.Helper()
	if err := w.server.Pods().Delete(key(name), apiserver.Deletion{Grace: grace}); err != nil {
		w.t.Fatal(err)
	}
}

func condition(p *corev1.Pod, kind corev1.PodConditionType) corev1.ConditionStatus {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return ""
}
