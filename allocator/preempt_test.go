package allocator

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/extender"
)

// agent is a pod of a high priority, other one of a lower that is above zero.
var (
	agent = extender.Pod{UID: "agent", Priority: 1000}
	other = extender.Pod{UID: "other", Priority: 500}
	user  = extender.Pod{UID: "user"}
)

// fullNode is a node of one slot, a prefix, on which pods of no priority named a to p
// hold all addresses.
func fullNode(a *Allocator, n *node) {
	n.ledger.SetSlots(1)
	for i := range byte(16) {
		a.pods.observe(windowsPod(n, types.UID(rune('a'+i)), at(i)))
	}
}

// deletes has the scheduler delete a victim, which takes its time to stop.
func deletes(a *Allocator, n *node, uid types.UID) {
	p := windowsPod(n, uid, at(uid[0]-'a'))
	p.DeletionTimestamp = new(metav1.Now())
	a.pods.observe(p)
}

// pass lets time pass, in which EC2 shows the prefix.
func pass(t *testing.T, a *Allocator, n *node, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(tickEvery)
		n.mu.Lock()
		n.ledger.Compare([]netip.Prefix{prefix}, time.Now())
		n.mu.Unlock()
		a.tick(t.Context())
	}
}

// filter asks about the node as the scheduler does.
func filter(a *Allocator, pod extender.Pod) (refusal extender.Refusal) {
	a.View(pod, func(lookup func([]byte) extender.Room) { refusal = lookup([]byte("win-1")).Refusal })
	return refusal
}

func candidates(victims ...types.UID) []extender.Candidate {
	return []extender.Candidate{{Node: "win-1", Victims: victims}}
}

// One victim for a pod that preempts: while it stops, while its address cools, and
// until the pod has come back, however often the scheduler asks.
func TestOneVictimForOnePod(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		fullNode(a, n)
		again := func(when string) {
			t.Helper()
			if c, ok := a.Choose(agent, candidates("b")); ok {
				t.Errorf("%s: another victim: %+v", when, c)
			}
		}
		if _, ok := a.Choose(agent, candidates("a")); !ok {
			t.Fatal("no victim though one brings the address")
		}
		again("before the victim was deleted")
		deletes(a, n, "a")
		pass(t, a, n, time.Minute)
		again("while it stops")
		a.pods.ended("a", 0)
		again("while its address cools")
		pass(t, a, n, ledger.Cooldown)
		again("once it is free")
		if got := filter(a, user); got != extender.Kept {
			t.Errorf("a pod without priority is told %s", got)
		}
		if got := filter(a, agent); got != extender.Fits {
			t.Errorf("the pod itself is told %s", got)
		}
		pass(t, a, n, nominationSlack)
		if got := filter(a, user); got != extender.Fits {
			t.Errorf("the address is kept for ever: %s", got)
		}
	})
}

// Of several that preempt each has its own victim, and no more.
func TestAsManyVictimsAsPodsThatPreempt(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		fullNode(a, n)
		for _, x := range []struct {
			pod    extender.Pod
			victim types.UID
		}{{other, "a"}, {agent, "b"}} {
			if _, ok := a.Choose(x.pod, candidates(x.victim)); !ok {
				t.Errorf("%s: no victim", x.pod.UID)
			}
			deletes(a, n, x.victim)
		}
		a.pods.ended("a", 0)
		a.pods.ended("b", 0)
		for _, pod := range []extender.Pod{agent, other} {
			if _, ok := a.Choose(pod, candidates("c")); ok {
				t.Errorf("%s: another victim", pod.UID)
			}
		}
	})
}

// kube-scheduler counts a pod that is nominated and its victim, as long as that one
// stops, and so finds one victim too many for the next: it is spared.
func TestVictimsThatAreCountedTwiceAreSpared(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		fullNode(a, n)
		a.Choose(agent, candidates("a"))
		deletes(a, n, "a")
		p := n.pods["b"]
		p.priority = 5
		n.pods["b"] = p
		c, ok := a.Choose(other, candidates("b", "c"))
		if !ok || !slices.Equal(c.Victims, []types.UID{"c"}) {
			t.Errorf("%+v, %t; want the least important of the two", c, ok)
		}
		if c, ok := a.Choose(extender.Pod{UID: "third", Priority: 400}, candidates("d")); !ok || len(c.Victims) != 1 {
			t.Errorf("%+v, %t; want the only one there is", c, ok)
		}
	})
}

// A rollout needs no victim: the old agent's address is on its way to the new one, and
// nobody of a lower priority gets it.
func TestRolloutNeedsNoVictim(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		fullNode(a, n)
		a.pods.ended("a", 0)
		if got := filter(a, user); got != extender.Full { // who asks first has no claim on it
			t.Fatalf("filter says %s", got)
		}
		if got := filter(a, agent); got != extender.Full {
			t.Fatalf("filter says %s", got)
		}
		if _, ok := a.Choose(agent, candidates("b")); ok {
			t.Error("a victim though the address cools")
		}
		pass(t, a, n, ledger.Cooldown)
		if got := filter(a, user); got != extender.Kept {
			t.Errorf("a pod without priority is told %s", got)
		}
		if got := filter(a, agent); got != extender.Fits {
			t.Errorf("the agent is told %s", got)
		}
	})
}

// What is on its way to a pod of a higher priority is not on its way to another.
func TestAnotherPodNeedsItsOwnVictim(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		fullNode(a, n)
		a.pods.ended("a", 0)
		filter(a, agent)
		filter(a, other)
		if _, ok := a.Choose(other, candidates("b")); !ok {
			t.Error("no victim though what cools is the agent's")
		}
	})
}

// A victim that the scheduler never deletes binds nobody.
func TestVictimThatIsNotDeleted(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		fullNode(a, n)
		a.Choose(agent, candidates("a"))
		time.Sleep(evictionTime)
		if _, ok := a.Choose(agent, candidates("b")); !ok {
			t.Error("the pod waits for a victim that nobody has deleted")
		}
	})
}

// Evictions that bring no address are none's to make.
func TestNoVictimInVain(t *testing.T) {
	a, n := readyNode()
	fullNode(a, n)
	n.ledger.SetMode(ledger.SecondaryIP) // the prefix goes only when all 16 have ended
	if c, ok := a.Choose(agent, candidates("a")); ok {
		t.Errorf("a victim that brings nothing: %+v", c)
	}
	if c, ok := a.Choose(agent, []extender.Candidate{{Node: "unknown", Victims: []types.UID{"x"}}}); ok {
		t.Errorf("a victim of an unknown node: %+v", c)
	}
}

// What was kept in vain wakes also the pods that the scheduler's fit check has turned
// away, which only growth of the total does.
func TestI8EndedNominationWakes(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "win-1"}}
		if _, err := a.kube.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go a.advertiser.run(ctx)
		a.nominations.add(nomination{pod: agent.UID, node: n, made: time.Now(), until: time.Now().Add(time.Second)})
		var totals []int64
		go every(ctx, tickEvery, a.tick)
		for range 80 { // it is looked at more often than anything is written
			time.Sleep(tickEvery/10 + time.Millisecond)
			shown, err := a.kube.CoreV1().Nodes().Get(ctx, "win-1", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			q := shown.Status.Allocatable[vpc.Resource]
			totals = append(totals, q.Value())
		}
		cancel()
		if totals = slices.Compact(totals); len(totals) < 2 || !slices.Equal(totals[len(totals)-2:], []int64{31, 32}) {
			t.Errorf("the node shows %d one after the other, want 31 and then 32 at the end", totals)
		}
	})
}

// A pod that is bound needs nothing kept for it.
func TestBoundPodIsNominatedNoMore(t *testing.T) {
	a, n := readyNode()
	fullNode(a, n)
	a.Choose(agent, candidates("a"))
	p := windowsPod(n, agent.UID, at(0))
	p.Spec.NodeName = "win-1"
	a.pods.ended("a", 0)
	a.pods.observe(p)
	if x, ok := a.nominations.of(agent.UID); ok {
		t.Errorf("%+v still stands", x)
	}
}

// The least important victims are chosen, as kube-scheduler would.
func TestChooseAsTheSchedulerDoes(t *testing.T) {
	type victim struct {
		priority int32
		created  int64
	}
	for name, c := range map[string]struct {
		violations [2]int64
		victims    [2][]victim
		want       string
	}{
		"fewest budgets violated":      {[2]int64{1, 0}, [2][]victim{{{0, 0}}, {{5, 0}}}, "win-1"},
		"least important victim":       {[2]int64{}, [2][]victim{{{5, 0}}, {{4, 0}, {4, 0}}}, "win-1"},
		"least sum":                    {[2]int64{}, [2][]victim{{{5, 0}, {3, 0}}, {{5, 0}, {2, 0}}}, "win-1"},
		"fewest victims":               {[2]int64{}, [2][]victim{{{5, 0}, {0, 0}}, {{5, 0}}}, "win-1"},
		"latest to start":              {[2]int64{}, [2][]victim{{{5, 10}}, {{5, 20}}}, "win-1"},
		"the first where all is alike": {[2]int64{}, [2][]victim{{{5, 10}}, {{5, 10}}}, "win-0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, n := readyNode()
			var cs []extender.Candidate
			for i, victims := range c.victims {
				x := extender.Candidate{Node: []string{"win-0", "win-1"}[i], Violations: c.violations[i]}
				for j, v := range victims {
					uid := types.UID(x.Node + string(rune('a'+j)))
					n.pods[uid] = pod{priority: v.priority, created: time.Unix(v.created, 0)}
					x.Victims = append(x.Victims, uid)
				}
				cs = append(cs, x)
			}
			best := cs[0].Node
			if n.cost(cs[1]).less(n.cost(cs[0])) {
				best = cs[1].Node
			}
			if best != c.want {
				t.Errorf("%s is chosen, want %s", best, c.want)
			}

		})
	}
}
