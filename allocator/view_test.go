package allocator

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/node"
	"slotwise.dev/slotwise/allocator/policy"
	"slotwise.dev/slotwise/allocator/settings"
)

// important is a pod that others must not overtake.
var important = pendingPod("important", 1)

func TestView(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(t *testing.T, f *fleet, n *node.Node)
		node    string
		want    capacity.Reason
	}{
		"something is free":   {func(*testing.T, *fleet, *node.Node) {}, "win-1", capacity.Fits},
		"a node nobody knows": {func(*testing.T, *fleet, *node.Node) {}, "linux-1", capacity.Unknown},
		"turned off":          {func(_ *testing.T, f *fleet, _ *node.Node) { f.set(settings.Settings{}) }, "win-1", capacity.Off},
		"another allocator is at work": {func(_ *testing.T, f *fleet, _ *node.Node) {
			f.Apply(config.State{Settings: settings.Settings{Enabled: true}, Other: &config.OtherAllocator{}})
		}, "win-1", capacity.Off},
		"full": {func(t *testing.T, f *fleet, n *node.Node) { f.fill(t, n) }, "win-1", capacity.Full},
		"full, and the pod is being bound there": {func(t *testing.T, _ *fleet, n *node.Node) {
			if _, _, err := n.Binds.Obtain(t.Context(), types.NamespacedName{Name: "pending"}, "pending"); err != nil {
				t.Error(err)
			}
			for i := range 31 {
				n.Observe(pod(types.UID(rune('a'+i)), netip.Addr{}))
			}
			time.Sleep(10 * time.Second)
		}, "win-1", capacity.Fits},
		"all that is left is kept for a more important pod": {func(t *testing.T, f *fleet, n *node.Node) {
			f.fill(t, n)
			n.Ended("a", 0)
			f.seen(important, "win-1")
			f.cool(t)
		}, "win-1", capacity.Kept},
		"all that is left is kept for an equal": {func(t *testing.T, f *fleet, n *node.Node) {
			f.fill(t, n)
			n.Ended("a", 0)
			f.seen(pendingPod("equal", 0), "win-1")
			f.cool(t)
		}, "win-1", capacity.Fits},
		"more is left than is kept": {func(t *testing.T, f *fleet, n *node.Node) {
			f.fill(t, n)
			n.Ended("a", 0)
			n.Ended("b", 0)
			f.seen(important, "win-1")
			f.cool(t)
		}, "win-1", capacity.Fits},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
				c.prepare(t, f, n)
				if got := f.seen(pendingPod("pending", 0), c.node); got.Reason != c.want {
					t.Errorf("%+v: %s, want %s", got, got.Reason, c.want)
				}
			})
		})
	}
}

// TestAnywhere: whether there is room somewhere does not depend on which nodes are shown.
func TestAnywhere(t *testing.T) {
	virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
		if p := pendingPod("pending", 0); !f.Anywhere(p) {
			t.Error("there is a node with room")
		}
		f.fill(t, n)
		if p := pendingPod("pending", 0); f.Anywhere(p) {
			t.Error("there is no node with room")
		}
	})
}

// cool lets the clock run until what cools has cooled.
func (f *fleet) cool(t *testing.T) {
	t.Helper()
	c := &clock{f.Allocator}
	for range 20 {
		time.Sleep(2 * time.Second)
		c.confirm(t.Context())
		c.tick(t.Context())
	}
}

// A node that is still being read gives nothing.
func TestViewWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, policy.Manage())
		t.Cleanup(func() { time.Sleep(2 * time.Minute) })
		f.begin(t.Context())
		f.AddNode(Member{Name: "win-1", Instance: "i-unknown"})
		if got := f.seen(capacity.Pod{UID: "pod"}, "win-1").Reason; got != capacity.NotReady {
			t.Errorf("%s, want %s", got, capacity.NotReady)
		}
		if _, ok := f.figures().Figures("win-1"); ok {
			t.Error("it shows figures")
		}
	})
}

// Evictions are only decided on nodes that offer what they have, and while Slotwise is on.
func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(f *fleet)
		node    string
		want    bool
	}{
		"a full node":         {func(*fleet) {}, "win-1", true},
		"a node nobody knows": {func(*fleet) {}, "linux-1", false},
		"turned off":          {func(f *fleet) { f.set(settings.Settings{Mode: ledger.Prefix}) }, "win-1", false},
		"the one that offers nothing": {func(f *fleet) {
			f.AddNode(Member{Name: "renamed", Instance: "i-1", Ready: true, Created: registered.Add(time.Hour)})
		}, "win-1", false},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
				f.fill(t, n)
				c.prepare(f)
				candidates := []capacity.Candidate{{Node: c.node, Victims: []types.UID{"a"}}}
				chosen, ok := f.Choose(t.Context(), important, candidates)
				if ok != c.want || ok && chosen.Node != "win-1" {
					t.Errorf("Choose = %+v, %t; want %t", chosen, ok, c.want)
				}
			})
		})
	}
}

// What Nodes show in each state of the process.
func TestFigures(t *testing.T) {
	for name, c := range map[string]struct {
		prepare   func(f *fleet)
		ok        bool
		total     int
		remaining int
	}{
		"on":                     {func(*fleet) {}, true, 32, 31},
		"turned off":             {func(f *fleet) { f.set(settings.Settings{}) }, true, 1, 0},
		"turned off, shows more": {func(f *fleet) { f.figures().Shows("win-1", 20); f.set(settings.Settings{}) }, true, 20, 0},
		"another Node may show what it likes": {func(f *fleet) {
			f.figures().Shows("linux-1", 20)
			f.set(settings.Settings{})
		}, true, 1, 0},
		"another allocator is at work": {func(f *fleet) { f.Apply(config.State{Other: &config.OtherAllocator{}}) }, false, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
				n.Observe(pod("a", netip.Addr{}))
				n.Shown.Note("win-1", 0, time.Now())
				c.prepare(f)
				got, ok := f.figures().Figures("win-1")
				if ok != c.ok || got.Total != c.total || got.Remaining != c.remaining || got.Offers != c.ok {
					t.Errorf("Figures = %+v, %t; want %d, %d remain", got, ok, c.total, c.remaining)
				}
			})
		})
	}
}

func (f *fleet) figures() *figures { return &figures{f.gate, f.nodes} }

// The sums for the metrics.
func TestTotals(t *testing.T) {
	virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
		f.AddNode(Member{Name: "win-2", Instance: "i-unknown"})
		n.Observe(pod("a", netip.Addr{}))
		x := totals{f.Allocator}
		got := x.Totals()
		if !got.Leading || !got.Enabled || got.Ready != 1 || got.NotReady != 1 || got.Stalled != 0 {
			t.Errorf("%+v, want one node ready and one not", got)
		}
		if got.Slots != 2 || got.Prefixes != 1 || got.InUse != 1 || got.Free != 15 || got.Remaining != 31 || got.Usable != 31 || got.Advertised != 32 {
			t.Errorf("%+v", got)
		}
		if len(got.Rooms) != 2 || got.Rooms[1].Kind != ledger.Prefix.String() || got.Rooms[1].Blocks == 0 {
			t.Errorf("rooms %+v, want two kinds of one subnet", got.Rooms)
		}
		f.follows.Store(true)
		if got := x.Totals(); got.Leading {
			t.Error("leads without a lease")
		}
	})
}
