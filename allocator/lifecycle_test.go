package allocator

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/node"
	"slotwise.dev/slotwise/allocator/policy"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/test/ec2sim"
)

// I4: a bind takes an address and posts one Binding with it; what was on its way to the
// pod is forgotten.
func TestI4Bind(t *testing.T) {
	virtually(t, func(t *testing.T, f *fleet, _ *node.Node) {
		time.Sleep(10 * time.Second) // the kubelet is sure to see what the Node shows
		if err := f.Bind(t.Context(), types.NamespacedName{Name: "pod"}, "pod", "win-1"); err != nil {
			t.Fatal(err)
		}
		if got := f.api.bindings(); len(got) != 1 || got[0].Node != "win-1" || got[0].Address.Bits() != 32 {
			t.Errorf("posted %+v", got)
		}
		if got := f.events.of(events.ReasonAllocated); len(got) != 1 {
			t.Errorf("told of it %d times: %q", len(got), got)
		}
		err := f.Bind(t.Context(), types.NamespacedName{Name: "other"}, "other", "linux-1")
		if e, is := errors.AsType[*capacity.Error](err); !is || e.Reason != capacity.Unknown {
			t.Errorf("Bind = %v, want %s", err, capacity.Unknown)
		}
	})
}

// A process that is about to end turns the binds that wait away, and takes no others.
func TestEnd(t *testing.T) {
	virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
		time.Sleep(10 * time.Second)
		for i := range 16 {
			n.Observe(pod(types.UID(rune('a'+i)), netip.Addr{}))
		}
		f.ec2.Inject(ec2sim.Fault{Kind: ec2sim.DelayAfter, Action: string(cloud.Assign)})
		answer := make(chan error, 1)
		go func() { answer <- f.Bind(t.Context(), types.NamespacedName{Name: "pod"}, "pod", "win-1") }()
		synctest.Wait()
		if !f.Serving() {
			t.Error("it does not serve")
		}
		f.End()
		synctest.Wait()
		select {
		case err := <-answer:
			if !errors.Is(err, kube.ErrNotLeading) {
				t.Errorf("Bind = %v, want %v", err, kube.ErrNotLeading)
			}
		default:
			t.Error("the bind goes on waiting")
		}
		if err := f.Bind(t.Context(), types.NamespacedName{Name: "late"}, "late", "win-1"); !errors.Is(err, kube.ErrNotLeading) || f.Serving() {
			t.Errorf("Bind = %v, serving %t", err, f.Serving())
		}
	})
}

// Run ends once EC2 has answered, or does not within a few seconds.
func TestRunEnds(t *testing.T) {
	for name, c := range map[string]struct {
		takes  time.Duration // EC2, for a call
		within time.Duration
	}{
		"EC2 answers":      {time.Second, time.Second},
		"EC2 is very slow": {time.Minute, callsTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleetOfOne(t)
				f.ec2.SetLatency(string(cloud.Assign), ec2sim.Latency{Mean: c.takes})
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- f.Run(ctx) }()
				for f.ec2.Counts()[string(cloud.Assign)] == 0 { // to warm the pool
					time.Sleep(100 * time.Millisecond)
				}
				cancel()
				began := time.Now()
				if err := <-ended; err != nil || time.Since(began) > c.within {
					t.Errorf("Run = %v after %s, want it within %s", err, time.Since(began), c.within)
				}
			})
		})
	}
}

// Turned off, and on again: others may have changed the interfaces meanwhile, so all nodes
// are read anew. At the start there is nothing to be read anew.
func TestI7TurnedOffAndOn(t *testing.T) {
	virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
		f.gate.state.Store(&config.State{})
		f.configured.Store(false) // as at the start
		f.set(settings.Settings{Enabled: true, Mode: ledger.Prefix})
		if f.nodes.find("win-1") != n {
			t.Error("read anew with the first settings")
		}
		f.set(settings.Settings{Mode: ledger.Prefix})
		if got := f.events.of(events.ReasonOff); len(got) != 1 {
			t.Errorf("told of it %d times: %q", len(got), got)
		}
		f.set(settings.Settings{Enabled: true, Mode: ledger.Prefix})
		if f.nodes.find("win-1") == n {
			t.Error("the node is not read anew")
		}
	})
}

// In mode observe a switch of mode makes nodes unsure until EC2 has been seen.
func TestSwitchInObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, policy.Observe(30*time.Second))
		t.Cleanup(func() { time.Sleep(2 * time.Minute) })
		f.instance(t, "i-1", "two.slots", "")
		f.AddNode(Member{Name: "win-1", Instance: "i-1", Ready: true, Created: registered})
		f.begin(t.Context())
		go f.subnets.Run(t.Context())
		time.Sleep(2 * time.Minute)
		reason := func() capacity.Reason { return f.seen(capacity.Pod{UID: "pod"}, "win-1").Reason }
		if got := reason(); got != capacity.Fits {
			t.Fatalf("%s at first", got)
		}
		f.set(settings.Settings{Enabled: true})
		if got := reason(); got != capacity.NotReady {
			t.Errorf("%s right after the switch", got)
		}
		time.Sleep(time.Minute)
		if got := reason(); got != capacity.Fits {
			t.Errorf("%s once EC2 was seen", got)
		}
	})
}

// What was kept in vain wakes the pods that wait for it: the Node shows one less for a
// moment.
func TestI8KeptInVain(t *testing.T) {
	virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
		f.fill(t, n)
		n.Ended("a", 0)
		f.seen(important, "win-1")
		before := len(f.api.totals("win-1"))
		f.cool(t)
		f.cool(t)
		shown := f.api.totals("win-1")[before:]
		if len(shown) < 2 || shown[len(shown)-2] != shown[len(shown)-1]-1 {
			t.Errorf("the Node shows %v, want one less in between", shown)
		}
		if kept := f.nominations.Kept(capacity.Pod{UID: "pod"}); len(kept) != 0 {
			t.Errorf("%v is kept still", kept)
		}
	})
}

// EC2 is not asked for what cools by a process that may not give it.
func TestConfirmIsGated(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(f *fleet)
		looks   bool
	}{
		"it leads":   {func(*fleet) {}, true},
		"it follows": {func(f *fleet) { f.follows.Store(true) }, false},
		"turned off": {func(f *fleet) { f.set(settings.Settings{Mode: ledger.Prefix}) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
				f.fill(t, n)
				n.Ended("a", 0)
				c.prepare(f)
				time.Sleep(15 * time.Second)
				before := f.ec2.Counts()[string(cloud.DescribeInterfaces)]
				(&clock{f.Allocator}).confirm(t.Context())
				if got := f.ec2.Counts()[string(cloud.DescribeInterfaces)] > before; got != c.looks {
					t.Errorf("EC2 is asked: %t, want %t", got, c.looks)
				}
			})
		})
	}
}

// I1: of two live pods with one address the younger is evicted; in mode observe that is
// another's to do.
func TestI1SharedAddress(t *testing.T) {
	for name, c := range map[string]struct {
		policy policy.Policy
		want   int // evictions
	}{
		"manage":  {policy.Manage(), 1},
		"observe": {policy.Observe(time.Minute), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, c.policy)
				t.Cleanup(func() { time.Sleep(2 * time.Minute) })
				f.begin(t.Context())
				(&listener{f.Allocator, f.metrics}).Shared(pod("older", netip.Addr{}), pod("younger", netip.Addr{}))
				time.Sleep(time.Second)
				if got := f.api.evictions(); len(got) != c.want || c.want == 1 && got[0] != "younger" {
					t.Errorf("evicted %v", got)
				}
				if got := f.events.of(events.ReasonDuplicate); len(got) != c.want {
					t.Errorf("told %d times: %q", len(got), got)
				}
			})
		})
	}
}

// A pod that the watch shows bound needs no other address; the room of a subnet is told
// to its own nodes.
func TestListener(t *testing.T) {
	virtually(t, func(t *testing.T, f *fleet, n *node.Node) {
		f.fill(t, n)
		n.Ended("a", 0)
		f.seen(pendingPod("pod", 1), "win-1")
		l := &listener{f.Allocator, f.metrics}
		l.Bound("pod")
		if kept := f.nominations.Kept(capacity.Pod{UID: "other"}); len(kept) != 0 {
			t.Errorf("%v is kept for a pod that is bound", kept)
		}
		for subnet, want := range map[string]int{"subnet-1": 1, "subnet-2": 0} {
			time.Sleep(time.Minute)
			before := len(f.api.totals("win-1"))
			f.advertiser.Renew()
			l.RoomChanged(subnet, true)
			time.Sleep(time.Minute)
			if got := len(f.api.totals("win-1")) - before; got != want {
				t.Errorf("%s: written %d times, want %d", subnet, got, want)
			}
		}
	})
}
