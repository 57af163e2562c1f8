package fidelity

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/manifests"
	"slotwise.dev/slotwise/test/sim/apiserver"
)

// step is one request, and the pod that it is about.
type step struct {
	name, pod string
	do        func(context.Context, subject) error
}

func newPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "image"}}},
	}
}

func create(name string, as ...func(*corev1.Pod)) step {
	return step{"create " + name, name, func(ctx context.Context, s subject) error {
		p := newPod(name)
		for _, set := range as {
			set(p)
		}
		return s.create(ctx, p)
	}}
}

func gated(p *corev1.Pod) {
	p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/wait"}}
}

var address = netip.MustParsePrefix("10.0.0.5/24")

// bind binds a pod; another: with the UID of another one.
func bind(name, node string, another bool) step {
	return step{fmt.Sprintf("bind %s to %s, another: %v", name, node, another), name, func(ctx context.Context, s subject) error {
		b := kube.Binding{Pod: key(name), Node: node, Address: address}
		if p, err := s.pods.Get(ctx, key(name)); err == nil {
			b.UID = p.UID
		}
		if another {
			b.UID = "another"
		}
		return s.pods.Bind(ctx, b)
	}}
}

// about asks something of a pod as it is now; another: with the UID of another one.
func about(what, name string, another bool, do func(context.Context, subject, *corev1.Pod) error) step {
	return step{fmt.Sprintf("%s %s, another: %v", what, name, another), name, func(ctx context.Context, s subject) error {
		p, err := s.pods.Get(ctx, key(name))
		if err != nil {
			p = newPod(name)
		}
		p = p.DeepCopy()
		if another {
			p.UID = "another"
		}
		return do(ctx, s, p)
	}}
}

func annotate(name, text string, another bool) step {
	return about("annotate with "+text, name, another, func(ctx context.Context, s subject, p *corev1.Pod) error {
		return s.pods.Annotate(ctx, key(name), p.UID, netip.MustParsePrefix(text))
	})
}

func evict(name string, another bool) step {
	return about("evict", name, another, func(ctx context.Context, s subject, p *corev1.Pod) error {
		return s.pods.Evict(ctx, key(name), p.UID)
	})
}

func update(what, name string, another bool, change func(*corev1.Pod)) step {
	return about(what, name, another, func(ctx context.Context, s subject, p *corev1.Pod) error {
		change(p)
		return s.update(ctx, p)
	})
}

func phase(name string, to corev1.PodPhase) step {
	return step{fmt.Sprint(name, " is ", to), name, func(ctx context.Context, s subject) error { return s.phase(ctx, name, to) }}
}

func remove(name string, d apiserver.Deletion) step {
	grace := "its own"
	if d.Grace != nil {
		grace = strconv.FormatInt(*d.Grace, 10)
	}
	return step{fmt.Sprintf("delete %s with %s s (%s%s)", name, grace, d.UID, d.Version), name,
		func(ctx context.Context, s subject) error { return s.remove(ctx, name, d) }}
}

func grace(seconds int64) apiserver.Deletion { return apiserver.Deletion{Grace: &seconds} }

// onPods are requests about pods, in order. The eviction of a pod of another UID that has
// not begun is left out: the real API server tries for 10 s before it says the same.
func onPods() []step {
	budget := step{"no evictions", "a", func(ctx context.Context, s subject) error { return s.budget(ctx) }}
	return []step{
		create("a"), create("a"),
		bind("a", "one", true), bind("none", "one", false),
		phase("a", corev1.PodPending),
		bind("a", "one", false), bind("a", "one", false), bind("a", "two", false),
		annotate("a", "10.0.0.6/24", false), annotate("a", "10.0.0.7/24", true), annotate("none", "10.0.0.7/24", false),
		update("update", "a", false, func(p *corev1.Pod) { p.Labels = map[string]string{"x": "y"} }),
		update("update the wrong version", "a", false, func(p *corev1.Pod) { p.ResourceVersion = "1" }),
		update("update without a version", "a", false, func(p *corev1.Pod) { p.ResourceVersion = "" }),
		update("update", "a", true, func(p *corev1.Pod) { p.Labels = nil }),
		update("move", "a", false, func(p *corev1.Pod) { p.Spec.NodeName = "two" }),
		remove("a", apiserver.Deletion{UID: "another"}), remove("a", apiserver.Deletion{Version: "1"}),
		remove("a", grace(40)), remove("a", grace(60)), remove("a", apiserver.Deletion{}), remove("a", grace(20)),
		bind("a", "two", false), annotate("a", "10.0.0.8/24", false),
		remove("a", grace(0)), remove("a", grace(0)),

		create("b"), remove("b", apiserver.Deletion{}),
		create("b"), remove("b", grace(20)),
		create("b", gated), bind("b", "one", false), remove("b", apiserver.Deletion{}),
		create("c"), bind("c", "one", false), remove("c", grace(0)),
		create("d"), bind("d", "one", false), phase("d", corev1.PodSucceeded), remove("d", apiserver.Deletion{}),
		create("e"), bind("e", "one", false), remove("e", grace(-5)), remove("e", grace(0)),

		create("f"), bind("f", "one", false), phase("f", corev1.PodRunning), evict("f", true), evict("f", false), evict("f", false),
		create("g"), bind("g", "one", false), phase("g", corev1.PodRunning), budget, evict("g", false), evict("g", true),
		phase("g", corev1.PodFailed), evict("g", false),
		create("h"), bind("h", "one", false), evict("h", false),
		create("i"), evict("i", false), evict("none", false),
	}
}

// TestSameAnswers asks the same about pods of both, and compares answers, pods, and what a watch
// of the bound pods shows.
func TestSameAnswers(t *testing.T) {
	both := []subject{simulated(t), actual(t)}
	told := [2][]string{}
	var followed [2]func() []string
	for i, s := range both {
		followed[i] = s.follow(t.Context(), t)
		for _, x := range onPods() {
			err := x.do(t.Context(), s)
			told[i] = append(told[i], fmt.Sprintf("%s: %s; now %s", x.name, verdict(err), s.state(t.Context(), x.pod)))
		}
	}
	t.Logf("%d requests about pods", len(told[0]))
	if d := cmp.Diff(told[0], told[1]); d != "" {
		t.Errorf("requests that differ, simulated (-) and real (+):\n%s", d)
	}
	if d := cmp.Diff(followed[0](), followed[1]()); d != "" {
		t.Errorf("watches that differ, simulated (-) and real (+):\n%s", d)
	}
	compareObjects(t, both)
}

// compareObjects does the same with Nodes and NodeSlots.
func compareObjects(t *testing.T, both []subject) {
	told := [2][]string{}
	for i, s := range both {
		told[i] = objects(t.Context(), s)
	}
	if d := cmp.Diff(told[0], told[1]); d != "" {
		t.Errorf("Nodes or NodeSlots that differ, simulated (-) and real (+):\n%s", d)
	}
	t.Logf("%d requests about Nodes and NodeSlots", len(told[0]))
}

// objects asks about Nodes and NodeSlots, and tells what came of it.
func objects(ctx context.Context, s subject) (told []string) {
	const name = "bare"
	status := v1alpha1.NodeSlotsStatus{Mode: "prefix", NetworkInterface: "eni-1", Subnet: "subnet-1", KnownFree: []string{"10.0.0.16/28"}}
	var first, last string
	note := func(what string, err error) {
		o, missing := s.object(ctx, name)
		now := "none"
		if missing == nil {
			now = fmt.Sprintf("%+v, at the version known: %v, owners %d", o.Status, o.ResourceVersion == last, len(o.OwnerReferences))
		}
		told = append(told, fmt.Sprintf("%s: %s; now %s", what, verdict(err), now))
	}
	write := func(what, over string) {
		version, err := s.slots.Write(ctx, name, over, status)
		if err == nil {
			last = version
		}
		note(what, err)
	}
	advertise := func(what string, total int) {
		err := s.nodes.Advertise(ctx, name, kube.Advert{Resource: vpc.Resource, Total: total, Annotations: map[string]string{"slotwise.dev/x": strconv.Itoa(total)}})
		shown := "none"
		if n, missing := s.node(ctx, name); missing == nil {
			capacity, allocatable := n.Status.Capacity[vpc.Resource], n.Status.Allocatable[vpc.Resource]
			shown = fmt.Sprint(capacity.String(), allocatable.String(), n.Annotations["slotwise.dev/x"])
		}
		note(what+" shows "+shown, err)
	}
	write("write without a Node", "")
	advertise("advertise without a Node", 5)
	note("create the Node", s.createNode(ctx, name))
	advertise("advertise", 9)
	advertise("advertise the same", 9)
	write("make", "")
	first = last
	status.Free = 3
	write("write", last)
	write("write the same", last)
	status.Free = 4
	write("write over the first", first)
	write("write over none", "")
	status.KnownFree = nil
	write("take back", last)
	note("remove", s.slots.Remove(ctx, name))
	note("remove once more", s.slots.Remove(ctx, name))
	write("write what is gone", last)
	write("make it again", "")
	note("remove the Node", s.removeNode(ctx, name))
	note("create it again", s.createNode(ctx, name))
	write("write over none, to another Node", "")
	return told
}

// installCRD makes NodeSlots known to a real API server.
func installCRD(ctx context.Context, c client.Client) error {
	text, err := manifests.File("base/crd/slotwise.dev_nodeslots.yaml")
	if err != nil {
		return err
	}
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, &o.Object); err != nil {
		return err
	}
	if err := manifests.Apply(ctx, c, []*unstructured.Unstructured{o}); err != nil {
		return err
	}
	return wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		err := c.List(ctx, &v1alpha1.NodeSlotsList{})
		return err == nil, nil
	})
}
