package scheduler

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/sim/scheduler/fit"
)

// slowly binds after a while.
func (f *fakeExtender) slowly(after time.Duration) func(*corev1.Pod, string) error {
	return func(p *corev1.Pod, node string) error {
		time.Sleep(after)
		return f.w.client.Bind(f.w.ctx, apiserver.Assignment{Pod: keyOf(p), UID: p.UID, Node: node})
	}
}

// TestAssumedPodsCount: a pod that is being bound counts on its node already, and many are
// bound at a time.
func TestAssumedPodsCount(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 2)
		e := &fakeExtender{w: w}
		e.bind = e.slowly(5 * time.Second)
		w.start(Options{Extender: e})
		for i := range 3 {
			w.pod(fmt.Sprint("p", i))
		}
		pause(4 * time.Second)
		if got := w.attempts("p2"); got != 1 {
			t.Errorf("the third pod was tried %d times without success, want once", got)
		}
		pause(2 * time.Second)
		w.isOn("p0", "a")
		w.isOn("p1", "a")
		w.isOn("p2", "")
	})
}

// TestFailedBindFreesThePlace: the assumed pod is forgotten, which is to the others as if
// it had gone; itself it comes back after a back-off.
func TestFailedBindFreesThePlace(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		e := &fakeExtender{w: w}
		e.bind = func(p *corev1.Pod, node string) error {
			if p.Name == "first" {
				time.Sleep(time.Second)
				return errors.New("no address")
			}
			return e.slowly(0)(p, node)
		}
		w.start(Options{Extender: e})
		w.pod("first")
		pause(100 * time.Millisecond)
		w.pod("second")
		pause(800 * time.Millisecond)
		w.isOn("second", "")
		pause(settle)
		w.isOn("second", "a")
		w.isOn("first", "")
		if got := w.says("first"); got != "no address" {
			t.Errorf("first says %q", got)
		}
		c := w.get("first").Status.Conditions[0]
		if c.Type != corev1.PodScheduled || c.Reason != corev1.PodReasonSchedulerError {
			t.Errorf("its condition is %s, reason %s", c.Type, c.Reason)
		}
	})
}

// TestLateBindIsNoSecondOne: a pod that was bound, though the extender answered an error,
// is not tried again once the watch has shown it.
func TestLateBindIsNoSecondOne(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 2)
		binds := 0
		e := &fakeExtender{w: w}
		e.bind = func(p *corev1.Pod, node string) error {
			binds++
			if err := e.slowly(0)(p, node); err != nil {
				return err
			}
			time.Sleep(time.Second)
			return context.DeadlineExceeded
		}
		w.start(Options{Extender: e})
		w.pod("p")
		pause(time.Minute)
		w.isOn("p", "a")
		if got := w.attempts("p"); binds != 1 || got != 1 {
			t.Errorf("there were %d binds and %d failures, want 1 each", binds, got)
		}
	})
}

// TestEndedPodsAreFreeAtOnce: the scheduler does not see pods that have ended, so it gives
// away what they had, though kubelets still count them.
func TestEndedPodsAreFreeAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		w.pod("job", on("a"))
		w.start(Options{Extender: &fakeExtender{w: w}})
		w.pod("next")
		pause(settle)
		w.isOn("next", "")
		w.setPhase("job", corev1.PodSucceeded)
		pause(settle)
		w.isOn("next", "a")
	})
}

// TestDeletedWhileAssumed: its place is free at once.
func TestDeletedWhileAssumed(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		e := &fakeExtender{w: w}
		e.bind = e.slowly(5 * time.Second)
		w.start(Options{Extender: e})
		w.pod("first")
		pause(100 * time.Millisecond)
		w.pod("second")
		pause(time.Second)
		w.remove("first")
		pause(6 * time.Second)
		w.isOn("second", "a")
	})
}

// TestWatchesLag: until the watch shows that a pod has gone, its place is taken.
func TestWatchesLag(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		w.pod("first", on("a"))
		w.start(Options{})
		w.link.Set(apiserver.Conditions{Lag: apiserver.Spread{Min: 2 * time.Second, Max: 2 * time.Second}})
		w.remove("first")
		w.pod("second")
		pause(1400 * time.Millisecond) // remove has waited, too
		if got := w.attempts("second"); got != 0 {
			t.Errorf("it was tried %d times before it was seen", got)
		}
		pause(2500 * time.Millisecond)
		w.isOn("second", "a")
	})
}

// TestPlain binds past the extender, by what Nodes show.
func TestPlain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		go Plain(Options{Name: "plain", Server: w.server, Client: w.client, Extender: &fakeExtender{w: w, filter: refuse}}).Run(w.ctx)
		pause(settle)
		for _, name := range []string{"p", "q"} {
			w.pod(name, func(p *corev1.Pod) { p.Spec.SchedulerName = "plain" })
			pause(settle)
		}
		w.isOn("p", "a")
		w.isOn("q", "")
		if got := w.get("p").Annotations[address]; got != "" {
			t.Errorf("it has the address %s", got)
		}
	})
}

// TestSample: of many nodes only so many that fit are looked at, beginning where the last
// search ended.
func TestSample(t *testing.T) {
	tests := map[string]struct {
		nodes, percentage, least, want int
	}{
		"few nodes":                       {nodes: 99, least: minSample, want: 99},
		"half of 200":                     {nodes: 200, least: minSample, want: 100},
		"of 1,000":                        {nodes: 1000, least: minSample, want: 420},
		"never less than 5 %":             {nodes: 10_000, least: minSample, want: 500},
		"as configured":                   {nodes: 1000, percentage: 20, least: minSample, want: 200},
		"all":                             {nodes: 1000, percentage: 100, least: minSample, want: 1000},
		"a small cluster as a large one":  {nodes: 10, percentage: 30, least: 2, want: 3},
		"a small cluster, at least two":   {nodes: 10, percentage: 10, least: 2, want: 2},
		"a small cluster below the least": {nodes: 2, percentage: 50, least: 3, want: 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := &finder{percentage: test.percentage, minSample: test.least}
			if got := f.sample(test.nodes); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

// TestSampleMisses: where the whole sample is turned away by the extender, the pod is, too,
// though others would have had room.
func TestSampleMisses(t *testing.T) {
	inWorld(t, func(w *world) {
		for i := range 10 {
			w.node(fmt.Sprint("n", i), 1)
		}
		var asked []int
		e := &fakeExtender{w: w}
		e.filter = func(pod string, nodes []string) (*answer, error) {
			asked = append(asked, len(nodes))
			return refuse(pod, nodes)
		}
		w.start(Options{Extender: e, MinSample: 1, Percentage: 20})
		w.pod("p")
		pause(settle)
		if len(asked) == 0 || asked[0] != 2 {
			t.Errorf("the extender was asked about %v nodes, want 2 first", asked)
		}
		if got := w.attempts("p"); got == 0 {
			t.Error("the pod is not rejected")
		}
	})
}

// TestSampleGoesRound: a search begins where the last one ended, so that each node has its
// turn, and a node that fits alone is not scored.
func TestSampleGoesRound(t *testing.T) {
	inWorld(t, func(w *world) {
		for i := range 4 {
			w.node(fmt.Sprint("n", i), 9)
		}
		e := &fakeExtender{w: w, prioritize: func([]string) list {
			t.Error("there is nothing to be scored")
			return nil
		}}
		w.start(Options{Extender: e, MinSample: 1, Percentage: 25})
		for i := range 4 {
			w.pod(fmt.Sprint("p", i))
			pause(settle)
			w.isOn(fmt.Sprint("p", i), fmt.Sprint("n", i))
		}
	})
}

// TestLeastAllocated goes through the scores of the scheduler's own.
func TestLeastAllocated(t *testing.T) {
	requests := fit.Amounts{{Resource: "cpu", N: 1000}}
	p := &podInfo{requests: requests, scored: newLoad(requests)}
	tests := map[string]struct {
		used        load
		allocatable fit.Amounts
		want        int64
	}{
		"empty":            {load{}, fit.Amounts{{Resource: "cpu", N: 4000}}, 75},
		"half full":        {load{milliCPU: 2000}, fit.Amounts{{Resource: "cpu", N: 4000}}, 25},
		"too full":         {load{milliCPU: 4000}, fit.Amounts{{Resource: "cpu", N: 4000}}, 0},
		"of two resources": {load{}, fit.Amounts{{Resource: "cpu", N: 4000}, {Resource: "memory", N: 4 * defaultMemory}}, 75},
		"of no resource":   {load{}, nil, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := leastAllocated(p, &nodeInfo{scored: test.used, allocatable: test.allocatable}); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

// TestScores: the extender's scores of 0 to 10 count ten times, by weight, beside what the
// scheduler prefers by itself.
func TestScores(t *testing.T) {
	for name, test := range map[string]struct {
		score int64
		want  string
	}{
		"the emptier node":  {0, "empty"},
		"one for the other": {1, "busy"}, // 20 for its 10 more of load
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.node("busy", 9)
				w.node("empty", 9)
				for i := range 8 { // of 8 cores each takes 0.1
					w.pod(fmt.Sprint("other", i), on("busy"))
				}
				e := &fakeExtender{w: w, prioritize: func([]string) list { return list{{Host: "busy", Score: test.score}} }}
				w.start(Options{Extender: e})
				w.pod("p")
				pause(settle)
				w.isOn("p", test.want)
			})
		})
	}
}

// TestNodeAffinityOfOneNode is for pods as DaemonSets make them.
func TestNodeAffinityOfOneNode(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 5)
		w.node("b", 5)
		w.start(Options{Extender: &fakeExtender{w: w}})
		w.pod("agent", func(p *corev1.Pod) { Daemon(p, "b") })
		w.pod("lost", func(p *corev1.Pod) { Daemon(p, "c") })
		w.pod("placed", func(p *corev1.Pod) { ByHand(p, "a") })
		pause(settle)
		w.isOn("agent", "b")
		w.isOn("placed", "a")
		w.isOn("lost", "")
		w.node("c", 5)
		pause(settle)
		w.isOn("lost", "c")
	})
}

// TestTaintsKeepPodsOff, until they are gone.
func TestTaintsKeepPodsOff(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 5)
		w.changeNode("a", func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}}
		})
		w.start(Options{})
		w.pod("p")
		w.pod("q", func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists}}
		})
		pause(settle)
		w.isOn("p", "")
		w.isOn("q", "a")
		w.changeNode("a", func(n *corev1.Node) { n.Spec.Taints = nil })
		w.isOn("p", "a")
	})
}

// TestNodeComesBackAsAnother under the same name.
func TestNodeComesBackAsAnother(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		w.pod("old", on("a"))
		w.start(Options{})
		w.pod("p")
		pause(settle)
		if err := w.server.Nodes().Delete(nodeKey("a"), apiserver.Deletion{}); err != nil {
			t.Fatal(err)
		}
		pause(settle)
		w.node("a", 1)
		pause(settle)
		w.isOn("p", "") // the pod of the one before is still there
		w.remove("old")
		w.isOn("p", "a")
	})
}
