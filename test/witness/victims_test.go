package witness

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/ec2sim"
)

// A node has a prefix, out of which a pod "a" has the address of these tests and "b" the
// one after it. Pod "p" of a priority is created at second 50, and evicts some of them.

func preemptor() Life {
	return Life{UID: "p", Name: "p", Scheduler: "ours", Priority: 100, Created: second(50), Alive: now}
}

// resident is a pod with the nth address, that has to go at a second, and takes 2 s.
func resident(name string, nth int, marked int64) Life {
	l := life(name, 10, marked+2).with(func(l *Life) { l.Marked, l.Leaving = second(marked), second(marked) })
	for range nth {
		l.Address = l.Address.Next()
	}
	return l
}

// neighbour is a pod with the nth address that ends without being preempted.
func neighbour(name string, nth int, ended int64) Life {
	return resident(name, nth, ended).with(func(l *Life) { l.Marked, l.Alive, l.Ended = 0, second(ended)-1, second(ended) })
}

func pending(name string, priority int32) Life {
	return Life{UID: types.UID(name), Name: name, Scheduler: "ours", Priority: priority, Created: second(40), Alive: now}
}

func TestNeedless(t *testing.T) {
	there := []ec2sim.Change{assigned(eni, block, 1, 1)}
	prefixes := Note{At: at(0), Prefixes: new(true)}
	first, next := resident("a", 0, 60), resident("b", 1, 75)
	for name, test := range map[string]struct {
		pods    []Life
		changes []ec2sim.Change // besides the first assignment
		notes   []Note          // besides the first mode
		victims map[types.UID]types.UID
		limits  []limit // of the pods of the node; none: any number
		want    int
		spared  int // not the first, and excused
	}{
		"one victim": {
			pods: []Life{preemptor(), first}, victims: map[types.UID]types.UID{"a": "p"},
		},
		"two for one": {
			pods: []Life{preemptor(), first, next}, want: 1,
		},
		"two for one at once": {
			pods: []Life{preemptor(), first, resident("b", 1, 60)}, want: 1,
		},
		"one for each of two": {
			pods: []Life{preemptor(), pending("q", 100), first, next}, victims: map[types.UID]types.UID{"a": "p", "b": "q"},
		},
		"two for one on a node that takes no more pods": {
			pods: []Life{preemptor().with(func(l *Life) { l.Nominated = true }), first, next}, limits: []limit{{at(0), 2}},
		},
		"two for one on a node that takes one more": {
			pods: []Life{preemptor(), first, next}, limits: []limit{{at(0), 4}}, want: 1,
		},
		"two for one on a node that takes no more pods, until another machine has its name": {
			pods:   []Life{preemptor().with(func(l *Life) { l.Nominated = true }), first, next},
			limits: []limit{{at(0), 2}, {at(100), 110}},
		},
		"two for one on a node that takes many pods, until another machine has its name": {
			pods:   []Life{preemptor().with(func(l *Life) { l.Nominated = true }), first, next},
			limits: []limit{{at(0), 110}, {at(100), 2}}, want: 1,
		},
		"chosen, but never deleted": {
			pods: []Life{preemptor(), first.with(func(l *Life) { l.Leaving, l.Ended, l.Alive = 0, 0, now }), next},
		},
		"the first had no address": {
			pods: []Life{preemptor(), first.with(func(l *Life) { l.From, l.Address = 0, netip.Addr{} }), next}, spared: 1,
		},
		"the first had no address when the next was chosen": {
			pods: []Life{preemptor(), first.with(func(l *Life) { l.From, l.Ended, l.Alive = second(80), second(90), second(90)-1 }), next}, spared: 1,
		},
		"the address has left": {
			pods: []Life{preemptor(), first, next}, changes: []ec2sim.Change{unassigned(eni, block, 70, 0)}, spared: 1,
		},
		"others have taken the address, and it has come back": {
			pods: []Life{preemptor(), first, next}, spared: 1,
			changes: []ec2sim.Change{unassigned(eni, block, 64, 0), assigned(eni, block, 70, 2)},
		},
		"the address leaves only later": {
			pods: []Life{preemptor(), first, next}, changes: []ec2sim.Change{unassigned(eni, block, 80, 0)}, want: 1,
		},
		"the address has left, and the mode is that of addresses": {
			pods: []Life{preemptor(), first, next}, changes: []ec2sim.Change{unassigned(eni, block, 70, 0)},
			notes: []Note{{At: at(2), Prefixes: new(false)}}, spared: 1,
		},
		"the mode is another": {
			pods: []Life{preemptor(), first, next}, notes: []Note{{At: at(62), Prefixes: new(false)}}, spared: 1,
		},
		"the mode is written once more": {
			pods: []Life{preemptor(), first, next}, notes: []Note{{At: at(70), Prefixes: new(true)}}, want: 1,
		},
		"the leader came to harm in between": {
			pods: []Life{preemptor(), first, next}, notes: []Note{{At: at(66), Harm: true}}, spared: 1,
		},
		"the leader came to harm before": {
			pods: []Life{preemptor(), first, next}, notes: []Note{{At: at(50), Harm: true}}, want: 1,
		},
		"others meddled with the node": {
			pods: []Life{preemptor(), first, next}, notes: []Note{{At: at(66), Node: "node-1"}}, spared: 1,
		},
		"others meddled with another node": {
			pods: []Life{preemptor(), first, next}, notes: []Note{{At: at(66), Node: "node-2"}}, want: 1,
		},
		"one of the same priority came before": {
			pods: []Life{preemptor(), first, next, life("q", 70, 0).with(func(l *Life) { l.Priority, l.Address = 100, address.Prev() })}, spared: 1,
		},
		"one of the same priority came to another node before": {
			pods: []Life{preemptor(), first, next, life("q", 70, 0).with(func(l *Life) { l.Priority, l.Node = 100, "node-2" })}, want: 1,
		},
		"one of a lower priority came before": {
			pods: []Life{preemptor(), first, next, life("q", 70, 0).with(func(l *Life) { l.Priority, l.Address = 10, address.Prev() })}, want: 1,
		},
		"one came before, but there were two victims": {
			pods:    []Life{preemptor(), first, resident("c", 2, 62), next, life("q", 70, 0).with(func(l *Life) { l.Priority, l.Address = 100, address.Prev() })},
			want:    2, // of c it is as certain as of b
			victims: map[types.UID]types.UID{"a": "p", "b": "p", "c": "p"},
		},
		"one came before, and another victim before that was on another node": {
			pods: []Life{
				preemptor(), resident("c", 2, 58).with(func(l *Life) { l.Node, l.From, l.Address = "node-2", 0, netip.Addr{} }), first, next,
				life("q", 70, 0).with(func(l *Life) { l.Priority, l.Address = 100, address.Prev() }),
			},
			victims: map[types.UID]types.UID{"a": "p", "b": "p", "c": "p"}, spared: 2,
		},
		"one came before each of two": {
			pods: []Life{
				preemptor(), first, next, resident("c", 2, 90),
				life("q", 70, 0).with(func(l *Life) { l.Priority, l.Address = 100, address.Prev() }),
				life("r", 80, 0).with(func(l *Life) { l.Priority, l.Address = 100, address.Prev().Prev() }),
			},
			victims: map[types.UID]types.UID{"a": "p", "b": "p", "c": "p"}, spared: 2,
		},
		"the first was not deleted in time": {
			pods: []Life{preemptor(), first.with(func(l *Life) { l.Leaving, l.Ended, l.Alive = second(80), second(82), second(82)-1 }), next}, spared: 1,
		},
		"the first was deleted only after the next was chosen": {
			pods: []Life{preemptor(), first.with(func(l *Life) { l.Leaving, l.Ended, l.Alive = second(72), second(82), second(82)-1 }), resident("b", 1, 70)}, want: 1,
		},
		"the next may have been marked late": {
			pods: []Life{preemptor(), first, next}, notes: []Note{{At: at(58), Hinders: 5 * time.Second, Late: time.Minute}}, spared: 1,
		},
		"the next may have been marked late, but was chosen after the first": {
			pods: []Life{preemptor(), first, next}, notes: []Note{{At: at(62), Hinders: 5 * time.Second, Late: time.Minute}}, want: 1,
		},
		"others took the address of one before": {
			pods:    []Life{preemptor(), first, next, life("q", 40, 0).with(func(l *Life) { l.Address = address.Prev() })},
			changes: []ec2sim.Change{unassigned(eni, netip.PrefixFrom(address.Prev(), 32), 50, 0)}, spared: 1,
		},
		"others took the address of one that has ended": {
			pods:    []Life{preemptor(), first, next, life("q", 40, 70).with(func(l *Life) { l.Address = address.Prev() })},
			changes: []ec2sim.Change{unassigned(eni, netip.PrefixFrom(address.Prev(), 32), 50, 0)}, want: 1,
		},
		"one without an address was there first": {
			pods: []Life{preemptor(), first, next, pastExtender("q", 40)}, spared: 1,
		},
		"one of the same priority is being bound": {
			pods: []Life{preemptor(), first, next, pending("q", 100).with(func(l *Life) { l.Node, l.Bound, l.From, l.Address = "node-1", second(76), second(76), address.Prev() })}, spared: 1,
		},
		"one of a lower priority is being bound": {
			pods: []Life{preemptor(), first, next, pending("q", 10).with(func(l *Life) { l.Node, l.Bound, l.From, l.Address = "node-1", second(76), second(76), address.Prev() })}, want: 1,
		},
		"one of the same priority is bound much later": {
			pods: []Life{preemptor(), first, next, pending("q", 100).with(func(l *Life) { l.Node, l.Bound, l.From, l.Address = "node-1", second(85), second(85), address.Prev() })}, want: 1,
		},
		"one of the same priority is being bound, and the API server is slow": {
			pods:  []Life{preemptor(), first, next, pending("q", 100).with(func(l *Life) { l.Node, l.Bound, l.From, l.Address = "node-1", second(85), second(85), address.Prev() })},
			notes: []Note{{At: at(70), Hinders: 20 * time.Second}}, spared: 1,
		},
		"one came past the extender a moment before": {
			pods:  []Life{preemptor(), first, next, life("q", 58, 0).with(func(l *Life) { l.Scheduler, l.Address = "plain", address.Prev() })},
			notes: []Note{{At: at(55), Hinders: 10 * time.Second, Lag: 2 * time.Second}}, spared: 1,
		},
		"one came past the extender long before": {
			pods: []Life{preemptor(), first, next, life("q", 58, 0).with(func(l *Life) { l.Scheduler, l.Address = "plain", address.Prev() })}, want: 1,
		},
		"another had gone there for one that came before, and its address has left": {
			pods: []Life{
				preemptor(), pending("q", 100), first, next,
				resident("c", 0, 59).with(func(l *Life) { l.Address = netip.MustParseAddr("10.0.1.200") }),
			},
			victims: map[types.UID]types.UID{"a": "p", "b": "p", "c": "q"}, spared: 1,
		},
		"another had gone there for one that came before": {
			pods:    []Life{preemptor(), pending("q", 100), first, next, resident("c", 2, 59)},
			victims: map[types.UID]types.UID{"a": "p", "b": "p", "c": "q"}, want: 1,
		},
		"another had gone there for one of a lower priority, and its address has left": {
			pods: []Life{
				preemptor(), pending("q", 10), first, next,
				resident("c", 0, 59).with(func(l *Life) { l.Address = netip.MustParseAddr("10.0.1.200") }),
			},
			victims: map[types.UID]types.UID{"a": "p", "b": "p", "c": "q"}, want: 1,
		},
		"one that was there without an address has got that of the first": {
			pods: []Life{preemptor(), first, next, pastExtender("q", 40).with(func(l *Life) { l.From, l.Address = second(74), address })}, spared: 1,
		},
		"one that was there without an address has got another": {
			pods: []Life{preemptor(), first, next, pastExtender("q", 40).with(func(l *Life) { l.From, l.Address = second(74), address.Prev() })}, want: 1,
		},
		"the node took no pods for a while": {
			pods:  []Life{preemptor(), first, next},
			notes: []Note{{At: at(50), Tainted: "node-1", Taint: true}, {At: at(70), Tainted: "node-1"}}, spared: 1,
		},
		"the node took no pods before": {
			pods:  []Life{preemptor(), first, next},
			notes: []Note{{At: at(50), Tainted: "node-1", Taint: true}, {At: at(55), Tainted: "node-1"}}, want: 1,
		},
		"another node took no pods": {
			pods: []Life{preemptor(), first, next}, notes: []Note{{At: at(50), Tainted: "node-2", Taint: true}}, want: 1,
		},
		"an address cools": {
			pods: []Life{preemptor(), neighbour("n", 2, 48), first}, victims: map[types.UID]types.UID{"a": "p"}, want: 1,
		},
		"an address cools, and the scheduler asks no extender": {
			pods:    []Life{preemptor().with(func(l *Life) { l.Scheduler = "plain" }), neighbour("n", 2, 48), first},
			victims: map[types.UID]types.UID{"a": "p"},
		},
		"what cooled is held again": {
			pods:    []Life{preemptor(), neighbour("n", 2, 48), neighbour("m", 2, 0).with(func(l *Life) { l.From, l.Alive, l.Ended = second(55), now, 0 }), first},
			victims: map[types.UID]types.UID{"a": "p"},
		},
		"an address cools, which may have been held yet when the victim was chosen": {
			pods: []Life{preemptor(), neighbour("n", 2, 48), first}, victims: map[types.UID]types.UID{"a": "p"},
			notes: []Note{{At: at(50), Hinders: time.Second, Late: time.Minute}},
		},
		"an address cools, and watches lag": {
			pods: []Life{preemptor(), neighbour("n", 2, 48), first}, victims: map[types.UID]types.UID{"a": "p"},
			notes: []Note{{At: at(58), Hinders: 5 * time.Second, Lag: 3 * time.Second}},
		},
		"an address cools, and watches lagged before": {
			pods: []Life{preemptor(), neighbour("n", 2, 48), first}, victims: map[types.UID]types.UID{"a": "p"},
			notes: []Note{{At: at(30), Hinders: 5 * time.Second, Lag: 3 * time.Second}}, want: 1,
		},
		"the end was a moment ago": {
			pods: []Life{preemptor(), neighbour("n", 2, 58), first}, victims: map[types.UID]types.UID{"a": "p"},
		},
		"the end was long ago": {
			pods: []Life{preemptor(), neighbour("n", 2, 20), first}, victims: map[types.UID]types.UID{"a": "p"},
		},
		"an address cools on another node": {
			pods:    []Life{preemptor(), neighbour("n", 2, 48).with(func(l *Life) { l.Node = "node-2" }), first},
			victims: map[types.UID]types.UID{"a": "p"},
		},
		"an address cools, and another waits": {
			pods: []Life{preemptor(), pending("q", 100), neighbour("n", 2, 48), first}, victims: map[types.UID]types.UID{"a": "p"},
		},
		"an address cools, and another waits that has to be elsewhere": {
			pods:    []Life{preemptor(), pending("q", 100).with(func(l *Life) { l.Only = "node-2" }), neighbour("n", 2, 48), first},
			victims: map[types.UID]types.UID{"a": "p"}, want: 1,
		},
		"an address cools, and another of a lower priority waits": {
			pods: []Life{preemptor(), pending("q", 10), neighbour("n", 2, 48), first}, victims: map[types.UID]types.UID{"a": "p"}, want: 1,
		},
		"an address cools, and one without an address is there": {
			pods: []Life{preemptor(), pastExtender("q", 40), neighbour("n", 2, 48), first}, victims: map[types.UID]types.UID{"a": "p"},
		},
		"an address cools, and the leader has just taken over": {
			pods: []Life{preemptor(), neighbour("n", 2, 48), first}, notes: []Note{{At: at(55), Harm: true}},
			victims: map[types.UID]types.UID{"a": "p"},
		},
		"what cooled has left": {
			pods: []Life{preemptor(), neighbour("n", 2, 48), first}, changes: []ec2sim.Change{unassigned(eni, block, 55, 0)},
			victims: map[types.UID]types.UID{"a": "p"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := evidence{
				clock: newClock(), pods: test.pods, changes: slices.Concat(there, test.changes), now: at(150),
				notes: slices.Concat([]Note{prefixes}, test.notes), cluster: twoNodes(),
				preemptors: map[types.UID]types.UID{"a": "p", "b": "p"},
			}
			e.cluster.limits["node-1"] = test.limits
			if test.victims != nil {
				e.preemptors = maps.Clone(test.victims)
			}
			found := e.needless()
			if len(found) != test.want {
				t.Errorf("found %+v, want %d", found, test.want)
			}
			spared := 0
			for _, n := range e.spared() {
				spared += n
			}
			if spared != test.spared {
				t.Errorf("spared %v, want %d", e.spared(), test.spared)
			}
		})
	}
}

func TestPreemptorOf(t *testing.T) {
	for message, want := range map[string]types.UID{
		"Preempted by pod 58184fdf-a633-4ed5-9766-d1381f177794 on node node-4": "58184fdf-a633-4ed5-9766-d1381f177794",
		"10.0.0.17 is lost": "",
		"Preempted":         "",
	} {
		if got := preemptorOf(message); got != want {
			t.Errorf("%q names %q, want %q", message, got, want)
		}
	}
}
