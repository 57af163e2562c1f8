package pods

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/vpc"
)

// keeper is a home that keeps its pods in the index, and remembers who holds what.
type keeper struct {
	group Group
	holds map[types.UID]netip.Addr
}

func (k *keeper) Observe(p Pod) (was Home, sharing types.UID) {
	k.holds[p.UID] = p.Address
	return k.group.Place(p, now)
}

func (k *keeper) Ended(pod types.UID, _ time.Duration) {
	k.group.Remove(pod, now)
	delete(k.holds, pod)
}

// cluster is a watch of pods, with one home, win-1, whose pods the API server lists by
// and by.
type cluster struct {
	*Watch
	home   *keeper
	lists  [][]corev1.Pod // the next answers
	fail   error          // of lists; nil: none
	shared int            // pairs of pods that have one address
	reads  int            // times that the first list was complete
	bound  []types.UID
}

func newCluster() *cluster {
	c := &cluster{home: &keeper{holds: map[types.UID]netip.Addr{}}}
	index := NewIndex()
	c.home.group = index.Group(c.home)
	c.Watch = NewWatch(Options{Index: index, Router: c, Listener: c, OnNode: c.onNode, Resource: vpc.Resource})
	return c
}

func (c *cluster) PodsRead()           { c.reads++ }
func (c *cluster) Bound(pod types.UID) { c.bound = append(c.bound, pod) }
func (c *cluster) Shared(_, _ Pod)     { c.shared++ }

func (c *cluster) Home(node string) Home {
	if node != "win-1" {
		return nil
	}
	return c.home
}

func (c *cluster) onNode(context.Context, string) (list []corev1.Pod, err error) {
	if c.fail != nil {
		return nil, c.fail
	}
	list, c.lists = c.lists[0], c.lists[1:]
	return list, nil
}

// on is a pod as the API server has it; an empty address is none.
func on(node string, uid types.UID, address string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: string(uid), UID: uid},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{vpc.Resource: resource.MustParse("1")},
		}}}},
	}
	if address != "" {
		p.Annotations = map[string]string{vpc.Annotation: address}
	}
	return p
}

// finished is a pod whose phase says so, and of which a container may run.
func finished(p *corev1.Pod, runs bool) *corev1.Pod {
	p.Status.Phase = corev1.PodSucceeded
	if runs {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	}
	return p
}

// A pod ends while the pods of its node are read, and the watch is quicker.
func TestI6ReadNodeBringsNoneBack(t *testing.T) {
	for name, then := range map[string][]corev1.Pod{
		"it has gone":                   {},
		"it is still there, as a job's": {*finished(on("win-1", "pod", "10.0.0.1/32"), false)},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster()
			c.lists = [][]corev1.Pod{{*on("win-1", "pod", "10.0.0.1/32"), *on("win-1", "stays", "10.0.0.2/32")}, append(then, *on("win-1", "stays", "10.0.0.2/32"))}
			if err := c.ReadNode(t.Context(), c.home, "win-1"); err != nil {
				t.Fatal(err)
			}
			if got := slices.Collect(maps.Keys(c.home.holds)); !slices.Equal(got, []types.UID{"stays"}) {
				t.Errorf("%v hold an address", got)
			}
		})
	}
}

// What cannot be listed is not read.
func TestReadNodeFails(t *testing.T) {
	c := newCluster()
	c.fail = errors.New("the API server is away")
	if err := c.ReadNode(t.Context(), c.home, "win-1"); !errors.Is(err, c.fail) {
		t.Errorf("ReadNode = %v, want %v", err, c.fail)
	}
}

// Two pods without a readable address have nothing in common; two with the same one do.
func TestI1Shared(t *testing.T) {
	for name, c := range map[string]struct {
		seen []*corev1.Pod
		want int
	}{
		"the same":                   {[]*corev1.Pod{on("win-1", "a", "10.0.0.1/32"), on("win-1", "b", "10.0.0.1/32")}, 1},
		"one of an unknown Node":     {[]*corev1.Pod{on("other", "a", "10.0.0.1/32"), on("win-1", "b", "10.0.0.1/32")}, 1},
		"none":                       {[]*corev1.Pod{on("win-1", "a", ""), on("win-1", "b", "")}, 0},
		"none that can be read":      {[]*corev1.Pod{on("win-1", "a", "10.0.0"), on("win-1", "b", "10.0.0")}, 0},
		"the first gives its own up": {[]*corev1.Pod{on("win-1", "a", "10.0.0.1/32"), on("win-1", "a", "10.0.0.2/32"), on("win-1", "b", "10.0.0.1/32")}, 0},
		"one pod twice":              {[]*corev1.Pod{on("win-1", "a", "10.0.0.1/32"), on("win-1", "a", "10.0.0.1/32")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := newCluster()
			for _, p := range c.seen {
				x.observe(p)
			}
			if x.shared != c.want {
				t.Errorf("%d pairs share an address, want %d", x.shared, c.want)
			}
		})
	}
}

// A pod that is seen on another Node than before holds its address there alone.
func TestI5PodOfAnotherNode(t *testing.T) {
	c := newCluster()
	c.observe(on("unknown", "pod", "10.0.0.1/32"))
	if p, bound := c.o.Index.Get("pod"); !bound || p.Address != address(1) {
		t.Error("a pod on a Node that nobody knows is not known, though it has an address")
	}
	c.observe(on("win-1", "pod", "10.0.0.1/32"))
	if got := c.home.holds["pod"]; got != address(1) || c.shared != 0 {
		t.Errorf("it holds %s, and %d share it", got, c.shared)
	}
	if !c.home.group.HeldElsewhere(address(1), "other", now) {
		t.Error("the address is nobody's")
	}
	c.observe(on("unknown", "no-address", ""))
	if _, bound := c.o.Index.Get("no-address"); bound {
		t.Error("a pod that is nobody's concern is kept")
	}
}

// A node that is read anew has another ledger: the one before hears that the pod is no
// longer its own.
func TestI5PodOfAnotherHome(t *testing.T) {
	c := newCluster()
	c.observe(on("win-1", "pod", "10.0.0.1/32"))
	before := c.home
	c.home = &keeper{holds: map[types.UID]netip.Addr{}}
	c.home.group = c.o.Index.Group(c.home)
	c.observe(on("win-1", "pod", "10.0.0.1/32"))
	if len(before.holds) != 0 || c.home.holds["pod"] != address(1) {
		t.Errorf("the one before holds %v, the one now %v", before.holds, c.home.holds)
	}
	if p, bound := c.home.group.Get("pod"); !bound || p.Address != address(1) {
		t.Errorf("the index has %+v there, %t", p, bound)
	}
}

// The first list of the watch makes the pods known; those that a later one no longer has
// have ended.
func TestReplace(t *testing.T) {
	c := newCluster()
	s := &store{c.Watch}
	objects := func(pods ...*corev1.Pod) (all []any) {
		for _, p := range pods {
			stripped, err := s.Transformer()(p)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, stripped)
		}
		return all
	}
	if err := s.Replace(objects(on("win-1", "a", "10.0.0.1/32"), on("win-1", "b", "10.0.0.2/32")), ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Replace(objects(on("win-1", "b", "10.0.0.2/32")), ""); err != nil {
		t.Fatal(err)
	}
	if got := slices.Collect(maps.Keys(c.home.holds)); !slices.Equal(got, []types.UID{"b"}) || c.reads != 1 {
		t.Errorf("%v hold an address after %d first lists, want b after 1", got, c.reads)
	}
	if err := s.Delete(on("win-1", "b", "")); err != nil || len(c.home.holds) != 0 {
		t.Errorf("%v hold an address after the end of the last, %v", c.home.holds, err)
	}
	if err := s.Add(on("win-1", "c", "10.0.0.3/32")); err != nil || c.home.holds["c"] != address(3) {
		t.Errorf("c holds %s, %v", c.home.holds["c"], err)
	}
	if !slices.Contains(c.bound, "c") {
		t.Error("nobody was told that c is bound")
	}
}

// What is kept of a pod, whether or not it was stripped first.
func TestNew(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	asking := func(n string) corev1.Container {
		return corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			vpc.Resource: resource.MustParse(n), corev1.ResourceCPU: resource.MustParse("1"),
		}}}
	}
	for name, c := range map[string]struct {
		change func(p *corev1.Pod)
		want   Pod
	}{
		"with an address of a prefix": {func(*corev1.Pod) {}, Pod{Address: address(1), Kind: ledger.Prefix, Asks: 1, Wants: true}},
		"with a secondary IP": {func(p *corev1.Pod) {
			p.Annotations[vpc.Annotation] = "10.0.0.1/24"
		}, Pod{Address: address(1), Kind: ledger.SecondaryIP, Asks: 1, Wants: true}},
		"with what cannot be read": {func(p *corev1.Pod) {
			p.Annotations[vpc.Annotation] = "10.0.0.1/24,10.0.0.2/24"
		}, Pod{Asks: 1, Wants: true}},
		"on the host's network": {func(p *corev1.Pod) {
			p.Spec.HostNetwork = true
		}, Pod{Asks: 1, Wants: true, OnHost: true}},
		"it asks for nothing": {func(p *corev1.Pod) {
			p.Spec.Containers = nil
		}, Pod{Address: address(1), Kind: ledger.Prefix}},
		"two containers ask": {func(p *corev1.Pod) {
			p.Spec.Containers = []corev1.Container{asking("1"), asking("2")}
		}, Pod{Address: address(1), Kind: ledger.Prefix, Asks: 3, Wants: true}},
		"a sidecar asks": {func(p *corev1.Pod) {
			sidecar := asking("1")
			sidecar.RestartPolicy = &always
			p.Spec.Containers, p.Spec.InitContainers = []corev1.Container{{}}, []corev1.Container{sidecar}
		}, Pod{Address: address(1), Kind: ledger.Prefix, Asks: 1, Wants: true}},
		"important, and about to end": {func(p *corev1.Pod) {
			p.Spec.Priority, p.DeletionTimestamp = new(int32(7)), &metav1.Time{Time: now}
		}, Pod{Address: address(1), Kind: ledger.Prefix, Asks: 1, Wants: true, Priority: 7, Ending: true}},
	} {
		t.Run(name, func(t *testing.T) {
			p := on("win-1", "pod", "10.0.0.1/32")
			p.CreationTimestamp = metav1.Time{Time: now}
			c.change(p)
			want := c.want
			want.UID, want.Key, want.Node, want.Created = "pod", types.NamespacedName{Namespace: "default", Name: "pod"}, "win-1", now
			if got := New(p, vpc.Resource); got != want {
				t.Errorf("New = %+v, want %+v", got, want)
			}
			if got := New(Strip(p), vpc.Resource); got != want {
				t.Errorf("stripped: %+v, want %+v", got, want)
			}
		})
	}
}

// I2: of a pod whose phase another client has written, something may run on for its grace
// period; a kubelet says so only once nothing does.
func TestI2Lingers(t *testing.T) {
	for name, c := range map[string]struct {
		pod  *corev1.Pod
		want time.Duration
	}{
		"it lives": {func() *corev1.Pod {
			p := finished(on("win-1", "pod", ""), true)
			p.Status.Phase = corev1.PodRunning
			return p
		}(), 0},
		"its kubelet has ended it": {finished(on("win-1", "pod", ""), false), 0},
		"another client has":       {finished(on("win-1", "pod", ""), true), corev1.DefaultTerminationGracePeriodSeconds * time.Second},
		"with a grace of its own": {func() *corev1.Pod {
			p := finished(on("win-1", "pod", ""), true)
			p.Spec.TerminationGracePeriodSeconds = new(int64(90))
			return p
		}(), 90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lingers(c.pod); got != c.want {
				t.Errorf("lingers = %s, want %s", got, c.want)
			}
			if got := lingers(Strip(c.pod)); got != c.want {
				t.Errorf("stripped: %s, want %s", got, c.want)
			}
		})
	}
}
