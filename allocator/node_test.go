package allocator

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
)

var prefix = netip.MustParsePrefix("10.0.0.16/28")

// at is an address of the prefix.
func at(i byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, 16 + i}) }

// readyNode is a leading allocator with one node of two slots, whose prefix is all free.
func readyNode() (*Allocator, *node) {
	a := New(Options{
		Cloud:   cloud.New(nil, cloud.Options{}),
		Kube:    fake.NewClientset(),
		Events:  events.NewFakeRecorder(100),
		Metrics: NewMetrics(prometheus.NewRegistry()),
		Log:     logr.Discard(),
		Held:    func() bool { return true },
	})
	a.state.Store(&State{Settings: settings.Settings{Enabled: true, Mode: ledger.Prefix}})
	a.started.Store(true)
	n := newNode(a, "win-1", "i-1")
	h := newHandle(n, map[string]Member{"win-1": {Name: "win-1", Instance: "i-1", Ready: true}})
	a.nodes["win-1"], a.instances["i-1"] = h, h
	n.budget = newTestBudget(tiny(prefix.String()))
	n.update(func(l *ledger.Ledger, now time.Time) {
		l.SetSlots(2)
		l.SetMode(ledger.Prefix)
		l.Sync([]netip.Prefix{prefix}, now, now)
		l.Trust([]netip.Prefix{prefix}, now)
		n.known, n.ready = true, true
	})
	return a, n
}

// virtually runs a test on a ready node in virtual time.
func virtually(t *testing.T, test func(t *testing.T, a *Allocator, n *node)) {
	synctest.Test(t, func(t *testing.T) {
		a, n := readyNode()
		defer func() {
			a.annotations.ShutDown()
			a.advertiser.ShutDown()
			a.recorder.ShutDown()
			a.evictions.ShutDown()
			time.Sleep(time.Minute) // for what ends by itself
		}()
		test(t, a, n)
	})
}

// asking is a container that asks for so many addresses.
func asking(addresses int64) corev1.Container {
	return corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
		vpc.Resource: *resource.NewQuantity(addresses, resource.DecimalSI),
	}}}
}

// windowsPod is a pod on the node; an address that is not valid is none.
func windowsPod(n *node, uid types.UID, address netip.Addr) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: string(uid), UID: uid},
		Spec:       corev1.PodSpec{NodeName: n.name(), Containers: []corev1.Container{asking(1)}},
	}
	if address.IsValid() {
		p.Annotations = map[string]string{vpc.Annotation: address.String() + "/32"}
	}
	return p
}

// A pod on another node still has an address that EC2 has given to this one: the pod
// that draws it draws again, and does not wait until it has cooled.
func TestI1ContestedAddressIsDrawnAgain(t *testing.T) {
	a, n := readyNode()
	a.pods.holders[at(0)] = "elsewhere"
	a.pods.holders[at(1)] = "elsewhere too"
	answer := make(chan outcome, 1)
	n.update(func(l *ledger.Ledger, _ time.Time) {
		l.Wait("pod")
		n.begin("pod", types.NamespacedName{}, answer)
	})
	select {
	case o := <-answer:
		if o.grant.Address == at(0) || o.grant.Address == at(1) {
			t.Errorf("the pod got %s, which another has", o.grant.Address)
		}
	default:
		t.Error("the pod waits though 14 addresses are free")
	}
}

// What has cooled is free again though the worker waits for EC2.
func TestI8CooledWithoutTheWorker(t *testing.T) {
	a, n := readyNode()
	for i := range byte(16) {
		a.pods.observe(windowsPod(n, types.UID(rune('a'+i)), at(i)))
	}
	n.mu.Lock()
	n.ledger.End("a", time.Now().Add(-ledger.Cooldown-time.Second))
	n.mu.Unlock()
	n.mu.Lock()
	n.ledger.Compare([]netip.Prefix{prefix}, time.Now())
	n.mu.Unlock()
	a.tick(t.Context())
	if r, _ := n.room(); r.Free != 1 {
		t.Errorf("room = %+v, want one address free", r)
	}
}

// Two pods without a readable address have nothing in common.
func TestI1NoAddressIsNoDuplicate(t *testing.T) {
	a, n := readyNode()
	for _, uid := range []types.UID{"a", "b"} {
		a.pods.observe(windowsPod(n, uid, at(uid[0]-'a')))
		a.pods.observe(windowsPod(n, uid, netip.Addr{}))
	}
	if got := a.evictions.Len(); got > 0 {
		t.Errorf("%d pods are to be evicted", got)
	}
}

// A pod ends while the pods of its node are read, and the watch is quicker.
func TestI6ReadNodeBringsNoneBack(t *testing.T) {
	for name, then := range map[string][]corev1.Pod{
		"it has gone": {},
		"it is still there, as a job's": {{
			ObjectMeta: metav1.ObjectMeta{UID: "pod"}, Status: corev1.PodStatus{Phase: corev1.PodSucceeded},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a, n := readyNode()
			lists := [][]corev1.Pod{{*windowsPod(n, "pod", at(0))}, then}
			a.kube.(*fake.Clientset).PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
				list := &corev1.PodList{Items: lists[0]}
				lists = lists[1:]
				return true, list, nil
			})
			if err := a.pods.readNode(t.Context(), n, n.name()); err != nil {
				t.Fatal(err)
			}
			if holder, known := n.ledger.Holder("pod"); known {
				t.Errorf("the pod still holds %s", holder)
			}
		})
	}
}

// An annotation that was on its way for long may no longer be true.
func TestI1AnnotationIsStillOwed(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(a *Allocator, n *node)
		want      bool
	}{
		"nothing":     {func(*Allocator, *node) {}, true},
		"written":     {func(a *Allocator, n *node) { a.pods.observe(windowsPod(n, "pod", at(0))) }, true},
		"another":     {func(a *Allocator, n *node) { a.pods.observe(windowsPod(n, "pod", at(5))) }, false},
		"pod's end":   {func(a *Allocator, _ *node) { a.pods.ended("pod", 0) }, false},
		"node's end":  {func(_ *Allocator, n *node) { n.retire() }, false},
		"turned off":  {func(a *Allocator, _ *node) { a.state.Store(&State{}) }, false},
		"other again": {func(_ *Allocator, n *node) { n.ledger.End("pod", time.Now()) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, n := readyNode()
			a.pods.observe(windowsPod(n, "pod", netip.Addr{}))
			x := annotation{uid: "pod", node: n.name(), address: netip.PrefixFrom(at(0), 32)}
			c.meanwhile(a, n)
			if got := n.owes(x); got != c.want {
				t.Errorf("owed: %t, want %t", got, c.want)
			}
		})
	}
}

// What was set aside for a call in doubt comes back when its node goes.
func TestI6WorkerLeavesNoClaim(t *testing.T) {
	_, n := readyNode()
	before := n.budget.available(ledger.Prefix)
	w := &worker{node: n, described: time.Now()}
	n.inFlight = claim{ledger.Prefix, n.budget.claim(ledger.Prefix, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.run(ctx)
	if got := n.budget.available(ledger.Prefix); got != before || before == 0 {
		t.Errorf("%d prefixes are available, want %d", got, before)
	}
}

// A call that was planned is not made once its ground has come into doubt, nor may a
// block be given back while NodeSlots promises its addresses to be free.
func TestI3BeginLooksOnceMore(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(n *node)
		action  cloud.Action
		want    bool
	}{
		"assign":                  {func(n *node) { n.wait(20) }, cloud.Assign, true},
		"assign, in doubt":        {func(n *node) { n.wait(20); n.doubted = true }, cloud.Assign, false},
		"assign, none needed":     {func(*node) {}, cloud.Assign, false},
		"unassign":                {func(n *node) { n.ledger.SetMode(ledger.SecondaryIP) }, cloud.Unassign, true},
		"unassign, still on list": {func(n *node) { n.ledger.SetMode(ledger.SecondaryIP); n.record.promised.Store(true) }, cloud.Unassign, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, n := readyNode()
			c.prepare(n)
			if _, ok := (&worker{node: n}).begin(c.action); ok != c.want {
				t.Errorf("begun: %t, want %t", ok, c.want)
			}
		})
	}
}

// wait has so many pods wait that were bound by another scheduler.
func (n *node) wait(pods int) {
	for i := range pods {
		n.a.pods.observe(windowsPod(n, types.UID(rune('A'+i)), netip.Addr{}))
	}
}

// A node that has gone while it was read from EC2 does not come to life.
func TestI3RetiredNodeStaysSo(t *testing.T) {
	a, n := readyNode()
	n.retire()
	now := time.Now()
	n.open(cloud.Instance{}, cloud.Limits{AddressesPerInterface: 3, Nitro: true}, n.budget, cloud.Interface{AsOf: now}, nil)
	if n.ready {
		t.Error("it gives addresses")
	}
	if err := a.Bind(t.Context(), types.NamespacedName{}, "pod", n.name()); !errors.Is(err, errNotReady) {
		t.Errorf("Bind = %v, want %v", err, errNotReady)
	}
}

// A bind of a pod that the watch has shown here is no new one.
func TestI6BoundAlready(t *testing.T) {
	a, n := readyNode()
	a.pods.observe(windowsPod(n, "pod", at(3)))
	if err := a.Bind(t.Context(), types.NamespacedName{}, "pod", n.name()); err != nil {
		t.Error(err)
	}
	if len(n.bindings) > 0 {
		t.Error("there is a binding that the watch will never end")
	}
	if acts := a.kube.(*fake.Clientset).Actions(); slices.ContainsFunc(acts, func(x clienttesting.Action) bool { return x.GetSubresource() == "binding" }) {
		t.Error("it was bound again")
	}
}

// A subnet that lacks something, and cannot be described, is not asked for without pause.
func TestFailingLooksKeepTheirDistance(t *testing.T) {
	a, n := readyNode()
	b := n.budget
	b.lacks(ledger.Prefix, true)
	now := time.Now()
	b.shortage[ledger.Prefix].until = now.Add(-time.Minute)
	a.subnets.looked[b.id] = now
	if next := a.subnets.nextLook(b); next.Before(now.Add(firstPause)) {
		t.Errorf("next look in %s", next.Sub(now))
	}
	a.lookAtSubnet(b)
	if next := a.subnets.nextLook(b); next.After(now) {
		t.Errorf("the look that was asked for is put off by %s", next.Sub(now))
	}
}
