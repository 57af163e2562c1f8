package allocator

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/extender"
)

var registered = time.Unix(1_000_000, 0)

// Of several Nodes of one instance one offers what its interface has.
func TestElection(t *testing.T) {
	const dns = "ip-10-0-0-4.ec2.internal"
	for name, c := range map[string]struct {
		members []Member
		want    string
	}{
		"the one there is": {[]Member{{Name: "a"}}, "a"},
		"one whose kubelet reports": {[]Member{
			{Name: "left-over", Created: registered.Add(time.Hour)}, {Name: "alive", Ready: true, Created: registered},
		}, "alive"},
		"a claim is no name": {[]Member{
			{Name: dns, Ready: true, Created: registered}, {Name: "claims-it", Ready: true, Created: registered.Add(time.Hour)},
		}, dns},
		"a name is no kubelet": {[]Member{
			{Name: dns, Created: registered}, {Name: "renamed", Ready: true, Created: registered.Add(time.Hour)},
		}, "renamed"},
		"the latest to register": {[]Member{
			{Name: "new", Ready: true, Created: registered.Add(time.Hour)}, {Name: "old", Ready: true, Created: registered},
		}, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHandle(newNode(nil, "any", "i-1"), map[string]Member{})
			dns := dns
			h.dnsName.Store(&dns)
			for _, m := range c.members {
				h.members[m.Name] = m
			}
			h.elect()
			if got := h.name(); got != c.want || slices.Contains(h.names.Load().others, got) || len(h.names.Load().others) != len(c.members)-1 {
				t.Errorf("%s offers, and not %v; want %s", got, h.names.Load().others, c.want)
			}
		})
	}
}

// I5: two Nodes of one instance have one ledger. What the pods of either hold is held,
// one of the two offers what is left, and the other takes over what is known.
func TestI5OneLedgerForAnInstance(t *testing.T) {
	a, n := readyNode()
	first := windowsPod(n, "first", at(0))
	a.pods.observe(first)
	a.AddNode(Member{Name: "win-1", Instance: "i-1", Ready: true, Created: registered})
	a.AddNode(Member{Name: "renamed", Instance: "i-1", Ready: true, Created: registered.Add(time.Hour)})
	if a.node("renamed") != n || len(a.everyNode()) != 1 {
		t.Fatal("the second Node has a ledger of its own")
	}
	second := windowsPod(n, "second", at(1))
	second.Spec.NodeName = "renamed"
	a.pods.observe(second)
	for name, want := range map[string]struct {
		refusal    extender.Refusal
		advertised int
	}{
		"renamed": {extender.Fits, 1 + 14 + 16},
		"win-1":   {extender.Duplicate, 1},
	} {
		a.View(extender.Pod{UID: "pod"}, func(lookup func([]byte) extender.Room) {
			if got := lookup([]byte(name)).Refusal; got != want.refusal {
				t.Errorf("%s: %s, want %s", name, got, want.refusal)
			}
		})
		if got := n.advertised(name); got != want.advertised {
			t.Errorf("%s advertises %d, want %d", name, got, want.advertised)
		}
	}
	if err := a.Bind(t.Context(), types.NamespacedName{}, "pod", "win-1"); err == nil {
		t.Error("a pod was bound to the Node that offers nothing")
	}
	a.RemoveNode("renamed")
	if room, _ := n.room(); a.node("win-1") != n || n.name() != "win-1" || room.Refusal != extender.Fits || room.Free != 14 {
		t.Errorf("%s offers %+v after the other has gone, want 14 free at once", n.name(), room)
	}
	a.RemoveNode("win-1")
	if a.node("win-1") != nil || !n.retired {
		t.Error("the ledger outlives its last Node")
	}
}

// I5: a live pod on a Node that Slotwise does not know, as one without the label of
// Windows, keeps its block from being unassigned until it ends.
func TestI5PodOfAnUnknownNode(t *testing.T) {
	a, n := readyNode()
	stranger := windowsPod(n, "stranger", at(3))
	stranger.Spec.NodeName = "unknown"
	a.pods.observe(stranger)
	n.ledger.SetMode(ledger.SecondaryIP)
	w := &worker{node: n}
	if call, ok := w.begin(cloud.Unassign); ok {
		t.Fatalf("%v was unassigned under a live pod", call.Blocks)
	}
	if holder, _ := n.ledger.Holder("stranger"); holder != at(3) {
		t.Errorf("the ledger says that it holds %s", holder)
	}
	a.pods.ended("stranger", 0)
	n.mu.Lock()
	cooling := n.ledger.Counts().Cooling
	n.mu.Unlock()
	if cooling != 1 {
		t.Errorf("%d addresses cool after its end, want 1", cooling)
	}
}

// I3, I5: the worker of a node that comes back waits for the one before it, which may
// have a call in flight: two must not change one interface at a time.
func TestI3OneWorkerAtATime(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, _ *node) {
		delete(a.nodes, "win-1")
		delete(a.instances, "i-1")
		ctx, cancel := context.WithCancel(t.Context())
		a.run = ctx
		busy := make(chan struct{})
		a.workers["i-1"] = busy // it waits for EC2
		a.AddNode(Member{Name: "win-1", Instance: "i-1"})
		h := a.instances["i-1"]
		synctest.Wait()
		select {
		case <-h.ended:
			t.Error("it ended")
		default:
		}
		cancel()
		synctest.Wait()
		select {
		case <-h.ended:
			t.Error("the worker did not wait for the one before it")
		default:
		}
		close(busy)
		a.group.Wait()
		if len(a.workers) > 0 {
			t.Errorf("%d workers are remembered that have ended", len(a.workers))
		}
	})
}

// A pod that is seen on another Node than before holds its address there alone.
func TestPodOfAnotherNode(t *testing.T) {
	a, n := readyNode()
	p := windowsPod(n, "pod", at(0))
	p.Spec.NodeName = "unknown"
	a.pods.observe(p)
	p.Spec.NodeName = "win-1"
	a.pods.observe(p)
	if holder, _ := n.ledger.Holder("pod"); holder != at(0) {
		t.Errorf("the node's ledger says %s", holder)
	}
	if got := a.pods.holders[at(0)]; got != "pod" {
		t.Errorf("the address is %q's", got)
	}
}

// I2: what a pod of another node had a moment ago is not given here, where EC2 has given
// it after another client took it away there.
func TestI2AddressOfAnotherNodesPod(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		p := windowsPod(n, "stranger", at(0))
		p.Spec.NodeName = "unknown"
		a.pods.observe(p)
		a.pods.ended("stranger", 0)
		if !a.pods.heldElsewhere(at(0), "pod", n) {
			t.Error("it may be given at once")
		}
		time.Sleep(ledger.Cooldown)
		if a.pods.heldElsewhere(at(0), "pod", n) {
			t.Error("it rests for ever")
		}
	})
}
