package allocator

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/node"
	"slotwise.dev/slotwise/allocator/policy"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/ec2sim"
)

// Of several Nodes of one instance one offers what its interface has.
func TestElection(t *testing.T) {
	const dns = "ip-10-0-0-4.ec2.internal"
	later := registered.Add(time.Hour)
	for name, c := range map[string]struct {
		members []Member
		want    string
	}{
		"the one there is":            {[]Member{{Name: "a"}}, "a"},
		"one whose kubelet reports":   {[]Member{{Name: "left-over", Created: later}, {Name: "alive", Ready: true, Created: registered}}, "alive"},
		"a claim is no name":          {[]Member{{Name: dns, Ready: true, Created: registered}, {Name: "claims-it", Ready: true, Created: later}}, dns},
		"a name is no kubelet":        {[]Member{{Name: dns, Created: registered}, {Name: "renamed", Ready: true, Created: later}}, "renamed"},
		"the latest to register":      {[]Member{{Name: "new", Ready: true, Created: later}, {Name: "old", Ready: true, Created: registered}}, "new"},
		"of the same second, by name": {[]Member{{Name: "b", Ready: true, Created: later}, {Name: "a", Ready: true, Created: later}}, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, policy.Manage())
				t.Cleanup(func() { time.Sleep(2 * time.Minute) })
				f.instance(t, "i-1", "two.slots", dns)
				for _, m := range c.members {
					m.Instance, m.MaxPods = "i-1", 1+slices.Index(c.members, m)
					f.AddNode(m)
				}
				f.begin(t.Context())
				time.Sleep(time.Minute)
				names := f.nodes.find(c.members[0].Name).ID.Names()
				if names.Offers != c.want || slices.Contains(names.Others, c.want) || len(names.Others) != len(c.members)-1 {
					t.Errorf("%s offers, and not %v; want %s", names.Offers, names.Others, c.want)
				}
				if of := c.members[names.MaxPods-1].Name; of != c.want {
					t.Errorf("max-pods is that of %s, want %s", of, c.want)
				}
			})
		})
	}
}

// I5: two Nodes of one instance have one ledger. What the pods of either hold is held,
// one of the two offers what is left, and the other takes over what is known.
func TestI5OneLedgerForAnInstance(t *testing.T) {
	virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
		n.Observe(pod("first", netip.Addr{}))
		f.AddNode(Member{Name: "renamed", Instance: "i-1", Ready: true, Created: registered.Add(time.Hour)})
		if f.nodes.find("renamed") != n || len(f.nodes.all()) != 1 {
			t.Fatal("the second Node has a ledger of its own")
		}
		if got := f.events.of(events.ReasonDuplicateNode); len(got) != 1 {
			t.Errorf("told %d times of it: %q", len(got), got)
		}
		second := pod("second", netip.Addr{})
		second.Node = "renamed"
		n.Observe(second)
		for name, want := range map[string]struct {
			reason capacity.Reason
			total  int
		}{
			"renamed": {capacity.Fits, 1 + 14 + 16},
			"win-1":   {capacity.Duplicate, 1},
		} {
			if got := f.seen(capacity.Pod{UID: "pod"}, name).Reason; got != want.reason {
				t.Errorf("%s: %s, want %s", name, got, want.reason)
			}
			if x, ok := f.figures().Figures(name); !ok || x.Total != want.total {
				t.Errorf("%s shows %d, want %d", name, x.Total, want.total)
			}
		}
		n.Shown.Note("renamed", 31, time.Now())
		f.figures().Shows("win-1", 1)
		if got := n.Shown.Last("renamed"); got != 31 {
			t.Errorf("renamed shows %d since the other has shown something, want 31", got)
		}
		err := f.Bind(t.Context(), types.NamespacedName{Name: "pod"}, "pod", "win-1")
		if e, is := errors.AsType[*capacity.Error](err); !is || e.Reason != capacity.Duplicate {
			t.Errorf("Bind = %v, want %s", err, capacity.Duplicate)
		}
		f.RemoveNode("renamed")
		if room := f.seen(capacity.Pod{UID: "pod"}, "win-1"); f.nodes.find("win-1") != n || n.Name() != "win-1" || room.Reason != capacity.Fits || room.Free != 14 {
			t.Errorf("%s offers %+v after the other has gone, want 14 free at once", n.Name(), room)
		}
		f.RemoveNode("win-1")
		if f.nodes.find("win-1") != nil || !n.Foresee(nil).Retired {
			t.Error("the ledger outlives its last Node")
		}
		if got := f.seen(capacity.Pod{UID: "pod"}, "win-1").Reason; got != capacity.Unknown {
			t.Errorf("%s, want %s", got, capacity.Unknown)
		}
	})
}

// onWin1 are so many pods on win-1 that have no address yet, as the API server lists them.
func onWin1(n int) (list []corev1.Pod) {
	for i := range n {
		list = append(list, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: strconv.Itoa(i), UID: types.UID(strconv.Itoa(i))},
			Spec: corev1.PodSpec{NodeName: "win-1", Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{vpc.Resource: *resource.NewQuantity(1, resource.DecimalSI)},
			}}}},
		})
	}
	return list
}

// I3, I5: the worker of a node that comes back waits for the one before it, which may
// have a call in flight: two must not change one interface at a time.
func TestI3OneWorkerAtATime(t *testing.T) {
	for name, comesBack := range map[string]func(f *fleet, n *node.Node){
		"it is read anew": func(f *fleet, n *node.Node) { f.replace(n, "the test says so") },
		"twice in a row":  func(f *fleet, n *node.Node) { f.replace(n, "once"); f.replace(f.nodes.find("win-1"), "twice") },
		"it has gone, and comes back": func(f *fleet, _ *node.Node) {
			f.RemoveNode("win-1")
			f.AddNode(Member{Name: "win-1", Instance: "i-1", Ready: true, Created: registered})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleetOfOne(t)
				f.ec2.Inject(ec2sim.Fault{Kind: ec2sim.DelayBefore, Delay: 20 * time.Second, Action: string(cloud.Assign)})
				f.begin(t.Context())
				for f.ec2.Counts()[string(cloud.Assign)] == 0 { // to warm the pool
					time.Sleep(100 * time.Millisecond)
				}
				f.api.has("win-1", onWin1(20))
				comesBack(f, f.nodes.find("win-1"))
				time.Sleep(2 * time.Minute)
				var changes []ec2sim.Call
				for _, c := range f.ec2.Calls() {
					if c.Action == string(cloud.Assign) || c.Action == string(cloud.Unassign) {
						changes = append(changes, c)
					}
				}
				if len(changes) < 2 {
					t.Fatalf("%d changes: the node that came back makes none", len(changes))
				}
				for i, c := range changes[1:] {
					if c.Start.Before(changes[i].End) {
						t.Error("two workers change one interface at a time")
					}
					if c.Code != "" {
						t.Errorf("a call failed: %s", c.Code)
					}
				}
				f.cool(t) // the prefix of before came without anybody's knowing what was in use of it
				if c, _ := f.nodes.find("win-1").Capacity(); c.InUse != 20 {
					t.Errorf("%+v, want all pods served", c.Counts)
				}
				if f.workers() != 1 {
					t.Errorf("%d workers are remembered, want the one that runs", f.workers())
				}
				f.RemoveNode("win-1")
				f.nodes.wait()
				if f.workers() != 0 {
					t.Errorf("%d workers are remembered that have ended", f.workers())
				}
			})
		})
	}
}

// A node that comes back as another instance begins anew.
func TestNodeOfAnotherInstance(t *testing.T) {
	virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
		f.instance(t, "i-2", "two.slots", "")
		f.AddNode(Member{Name: "win-1", Instance: "i-2", Ready: true, Created: registered})
		next := f.nodes.find("win-1")
		if next == n || !n.Foresee(nil).Retired || next.ID.Instance != "i-2" {
			t.Errorf("it is instance %s's", next.ID.Instance)
		}
		time.Sleep(time.Minute)
		if got := f.seen(capacity.Pod{UID: "pod"}, "win-1").Reason; got != capacity.Fits {
			t.Errorf("%s once it is read", got)
		}
	})
}

// A node whose interface has gone is read anew, once, under all its names, and what was on
// its way to pods there stays so.
func TestReplace(t *testing.T) {
	virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
		f.AddNode(Member{Name: "left-over", Instance: "i-1"})
		f.fill(t, n)
		n.Ended("a", 0)
		f.seen(important, "win-1")
		f.replace(n, "the test says so")
		next := f.nodes.find("win-1")
		f.replace(n, "somebody else says so, too")
		if next == n || f.nodes.find("win-1") != next || len(f.nodes.all()) != 1 {
			t.Error("it is not one new node that takes its place")
		}
		if got := next.ID.Names(); got.Offers != "win-1" || !slices.Equal(got.Others, []string{"left-over"}) {
			t.Errorf("its names are %+v", got)
		}
		if got := f.seen(capacity.Pod{UID: "pod"}, "win-1").Reason; got != capacity.NotReady {
			t.Errorf("%s while it is read", got)
		}
		if kept := f.nominations.Kept(capacity.Pod{UID: "pod"}); kept[next] != 1 {
			t.Errorf("%d addresses are kept there, want 1", kept[next])
		}
		f.cool(t) // of what it has, nobody knows how it was used
		if got := f.seen(capacity.Pod{UID: "pod"}, "win-1").Reason; got != capacity.Fits {
			t.Errorf("%s once it is read", got)
		}
	})
}

// A node that goes while it is read anew gets no worker.
func TestI3ReplaceOfANodeThatGoes(t *testing.T) {
	virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
		f.nodes.replace(n, func(*node.Node) { f.RemoveNode("win-1") })
		time.Sleep(time.Minute)
		if f.workers() != 0 || f.nodes.find("win-1") != nil {
			t.Error("a worker runs for a node that is no more")
		}
	})
}

// A node's label chooses its mode over the ConfigMap, until it is taken off, and where
// Slotwise gives the addresses.
func TestModeOfALabel(t *testing.T) {
	for name, c := range map[string]struct {
		policy          policy.Policy
		labelled, after ledger.Kind
	}{
		"manage":  {policy.Manage(), ledger.SecondaryIP, ledger.Prefix},
		"observe": {policy.Observe(time.Minute), ledger.Prefix, ledger.Prefix},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, c.policy)
				t.Cleanup(func() { time.Sleep(2 * time.Minute) })
				f.instance(t, "i-1", "two.slots", "win-1")
				m := Member{Name: "win-1", Instance: "i-1", Ready: true, Created: registered}
				m.Mode = settings.Choice{Made: true, Mode: ledger.SecondaryIP}
				f.AddNode(m)
				f.begin(t.Context())
				time.Sleep(time.Minute)
				mode := func() ledger.Kind { x, _ := f.nodes.find("win-1").Capacity(); return x.Mode }
				if got := mode(); got != c.labelled {
					t.Errorf("with the label it is %s, want %s", got, c.labelled)
				}
				m.Mode = settings.Choice{}
				f.AddNode(m)
				if got := mode(); got != c.after {
					t.Errorf("without it, it is %s, want %s", got, c.after)
				}
			})
		})
	}
}

// Nodes are found under each of their names alone.
func TestFind(t *testing.T) {
	virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
		if f.nodes.Home("unknown") != nil || f.nodes.owner("unknown") != nil || f.nodes.slots("unknown") != nil {
			t.Error("a node that nobody knows is somebody's")
		}
		if f.nodes.Home("win-1") != n || f.nodes.owner("win-1") != n.Binds || f.nodes.slots("win-1") != n.Slots {
			t.Error("a node is not found under its name")
		}
		if got := len(f.nodes.allSlots()); got != 1 {
			t.Errorf("%d NodeSlots objects, want 1", got)
		}
		if got := f.nodes.free(); got != 16 {
			t.Errorf("%d addresses are free, want 16", got)
		}
		f.ec2.SetLatency(string(cloud.Assign), ec2sim.Latency{Mean: time.Minute})
		for i := range 20 {
			n.Observe(pod(types.UID(rune('a'+i)), netip.Addr{}))
		}
		time.Sleep(time.Second)
		if got := f.nodes.free(); got != 12 {
			t.Errorf("%d addresses are free while 16 come and 4 pods wait, want 12", got)
		}
	})
}
