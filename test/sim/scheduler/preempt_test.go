package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// run adds pods that run on a node, one second after the other, so that the last is the
// least important. They take 30 s to stop.
func (w *world) run(node string, pods ...string) {
	w.t.Helper()
	for _, name := range pods {
		w.pod(name, on(node))
		now := metav1.Now()
		if _, err := w.server.Pods().Change(key(name), "", func(p *corev1.Pod) error {
			p.Status.Phase, p.Status.StartTime = corev1.PodRunning, &now
			return nil
		}); err != nil {
			w.t.Fatal(err)
		}
		pause(time.Second)
	}
}

func (w *world) wantVictims(want ...string) {
	w.t.Helper()
	if got := w.victims(); !slices.Equal(got, want) {
		w.t.Errorf("victims are %q, want %q", got, want)
	}
}

// nominatedOn checks a pod's nomination.
func (w *world) nominatedOn(pod, node string) {
	w.t.Helper()
	if got := w.get(pod).Status.NominatedNodeName; got != node {
		w.t.Errorf("pod %s is nominated on %q, want %q; it says %q", pod, got, node, w.says(pod))
	}
}

// TestPreempts: as few as possible go, the least important ones; their objects are deleted,
// and say why; the pod gets the place once they have gone.
func TestPreempts(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 3)
		w.run("a", "first", "second", "third")
		w.start(Options{Extender: &fakeExtender{w: w}})
		w.pod("high", withPriority(100))
		pause(time.Second)
		w.wantVictims("third")
		w.nominatedOn("high", "a")
		v := w.get("third")
		if v.DeletionTimestamp == nil || !stopsForPreemption(v) {
			t.Errorf("it is deleted: %v; its conditions are %v", v.DeletionTimestamp, v.Status.Conditions)
		}
		w.isOn("high", "")
		w.remove("third")
		w.isOn("high", "a")
		w.nominatedOn("high", "")
	})
}

// TestNoPreemptionWithoutNeed of pods that are as important, or where it does not help.
func TestNoPreemption(t *testing.T) {
	tests := map[string]struct {
		total    int
		priority int32
		never    bool
	}{
		"as important":                 {1, 0, false},
		"the node never has as much":   {0, 100, false},
		"its policy is not to preempt": {1, 100, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.node("a", test.total)
				w.run("a", "low")
				w.start(Options{})
				w.pod("p", withPriority(test.priority), func(p *corev1.Pod) {
					if test.never {
						p.Spec.PreemptionPolicy = new(corev1.PreemptNever)
					}
				})
				pause(time.Minute)
				w.wantVictims()
				w.nominatedOn("p", "")
			})
		})
	}
}

// TestRefusalIsNotResolvable: a node that the extender turns away as unresolvable is none
// where evictions help.
func TestRefusalIsNotResolvable(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 3)
		w.run("a", "low")
		w.start(Options{Extender: &fakeExtender{w: w, filter: refuse}})
		w.pod("high", withPriority(100))
		pause(time.Minute)
		w.wantVictims()
		want := "0/1 nodes are available: 1 no address. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
		if got := w.says("high"); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	})
}

// TestWaitsForItsVictims: as long as one stops there it does not preempt again.
func TestWaitsForItsVictims(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 2)
		w.run("a", "first", "second")
		w.start(Options{Extender: &fakeExtender{w: w}})
		w.pod("high", withPriority(100))
		pause(time.Second)
		before := w.attempts("high")
		// The Node would have room for more pods, but not yet for this one.
		w.changeNode("a", func(n *corev1.Node) { n.Status.Allocatable["pods"] = quantity(111) })
		if w.attempts("high") == before {
			t.Fatal("it is not tried again")
		}
		w.wantVictims("second")
		w.nominatedOn("high", "a")
		if got, want := w.says("high"), "0/1 nodes are available: 1 Insufficient "+address+". preemption: not eligible due to a terminating pod on the nominated node."; got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	})
}

// TestPreemptsElsewhere: where the nominated node has become one that evictions do not help,
// the pod preempts on another at once, while its victim still stops.
func TestPreemptsElsewhere(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		w.node("b", 1)
		w.run("b", "on-b")
		w.run("a", "on-a") // it has run for less
		w.start(Options{Extender: &fakeExtender{w: w}})
		w.pod("high", withPriority(100))
		pause(time.Second)
		w.wantVictims("on-a")
		w.changeNode("a", func(n *corev1.Node) { n.Status.Allocatable[address] = quantity(0) })
		w.changeNode("b", func(n *corev1.Node) { n.Status.Allocatable["pods"] = quantity(111) }) // wakes it
		w.wantVictims("on-a", "on-b")
		w.nominatedOn("high", "b")
	})
}

// TestBudgets: pods that a budget protects are spared where that is possible, whatever
// they are else.
func TestBudgets(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 2)
		w.node("b", 1)
		w.run("a", "old", "young")
		w.run("b", "youngest")
		w.start(Options{Protected: func(p *corev1.Pod) bool { return p.Name != "old" }})
		w.pod("high", withPriority(100))
		pause(time.Second)
		w.wantVictims("old")
	})
}

// TestPreemptVerb shows what answers of the extender do.
func TestPreemptVerb(t *testing.T) {
	tests := map[string]struct {
		answer  func(metas) (metas, error)
		victims []string
		says    string
	}{
		"as asked": {func(m metas) (metas, error) { return m, nil }, []string{"second", "first"}, "found a potential placement for pod on node a, preempting 2 victims"},
		"one of the victims": {func(m metas) (metas, error) {
			m["a"].Pods = m["a"].Pods[:1]
			return m, nil
		}, []string{"first"}, "found a potential placement for pod on node a, preempting 1 victims"},
		"no node": {func(metas) (metas, error) { return metas{}, nil }, nil, "no candidate node for preemption"},
		"no victim": {func(m metas) (metas, error) {
			m["a"].Pods = nil
			return m, nil
		}, nil, `expected at least one victim pod on node "a"`},
		"a victim that is not there": {func(m metas) (metas, error) {
			m["a"].Pods = []*extenderv1.MetaPod{{UID: "gone"}}
			return m, nil
		}, nil, "extender claims to preempt pod (UID: gone) on node: a, but the pod is not found on that node"},
		"an error": {func(metas) (metas, error) { return nil, errors.New("away") }, nil, "away"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.node("a", 3)
				w.run("a", "zeroth", "first", "second")
				w.start(Options{Extender: &fakeExtender{w: w, preempt: test.answer}})
				w.pod("high", withPriority(100), func(p *corev1.Pod) {
					p.Spec.Containers[0].Resources.Requests[address] = quantity(2)
				})
				pause(200 * time.Millisecond)
				got := w.victims()
				slices.Sort(got)
				slices.Sort(test.victims)
				if !slices.Equal(got, test.victims) {
					t.Errorf("victims are %q, want %q", got, test.victims)
				}
				want := "0/1 nodes are available: 1 Insufficient " + address + ". preemption: " + test.says
				if got := w.says("high"); got != want {
					t.Errorf("it says %q, want %q", got, want)
				}
			})
		})
	}
}

// TestGatedWhileItsVictimsAreDeleted: no event has the pod tried before that is done.
func TestGatedWhileItsVictimsAreDeleted(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		w.run("a", "low")
		w.start(Options{Extender: &fakeExtender{w: w}})
		slow := apiserver.Spread{Min: 4 * time.Second, Max: 4 * time.Second}
		w.link.Set(apiserver.Conditions{Latency: slow}) // of a request, and again of its answer
		w.pod("high", withPriority(100))
		pause(2 * time.Second)
		for i := range 4 {
			w.changeNode("a", func(n *corev1.Node) { n.Status.Allocatable["pods"] = quantity(111 + i) })
			pause(2 * time.Second)
		}
		if got := w.attempts("high"); got != 1 {
			t.Errorf("it was tried %d times, want 1", got)
		}
		pause(time.Minute)
		if p := w.get("low"); p.DeletionTimestamp == nil {
			t.Error("the victim is not deleted")
		}
		// It has been gated, so that only the end of a pod has it tried.
		w.changeNode("a", func(n *corev1.Node) { n.Status.Allocatable["pods"] = quantity(200) })
		if got := w.attempts("high"); got != 1 {
			t.Errorf("it was tried %d times, want 1", got)
		}
		w.remove("low")
		pause(10 * time.Second)
		w.isOn("high", "a")
	})
}

// TestSeenDeletionIsEnough: once the watch shows that the last victim stops, the answer to
// its deletion need not be waited for.
func TestSeenDeletionIsEnough(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		w.run("a", "low")
		w.start(Options{Extender: &fakeExtender{w: w}})
		w.link.Set(apiserver.Conditions{Latency: apiserver.Spread{Min: 4 * time.Second, Max: 4 * time.Second}})
		w.pod("high", withPriority(100))
		pause(12500 * time.Millisecond) // the patch of the victim and its answer, and the deletion
		if p := w.get("low"); p.DeletionTimestamp == nil {
			t.Fatal("the victim is not deleted")
		}
		w.remove("low")
		pause(10 * time.Second)
		w.isOn("high", "a")
	})
}

// TestFailedEvictionIsTriedAgain, without any event.
func TestFailedEvictionIsTriedAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		w.run("a", "low")
		w.start(Options{Extender: &fakeExtender{w: w}})
		w.link.Set(apiserver.Conditions{Unavailable: 1})
		w.pod("high", withPriority(100))
		pause(time.Second)
		w.link.Set(apiserver.Conditions{})
		pause(10 * time.Second)
		if p := w.get("low"); p.DeletionTimestamp == nil {
			t.Error("the victim is not deleted")
		}
	})
}

// TestVictimsAreDeletedByName, so that it may hit another pod that has the name by then.
func TestVictimsAreDeletedByName(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		w.run("a", "low")
		w.start(Options{})
		w.link.Set(apiserver.Conditions{Latency: apiserver.Spread{Min: time.Second, Max: time.Second}})
		w.pod("high", withPriority(100))
		pause(settle)
		if err := w.server.Pods().Delete(key("low"), apiserver.Deletion{Grace: apiserver.Force()}); err != nil {
			t.Fatal(err)
		}
		w.pod("low", on("elsewhere"))
		pause(10 * time.Second)
		if p := w.get("low"); p.DeletionTimestamp == nil {
			t.Error("the other pod is spared")
		}
	})
}

// TestPick goes through the rules of pickOneNodeForPreemption.
func TestPick(t *testing.T) {
	begin := time.Now()
	victim := func(priority int32, age time.Duration) *podInfo {
		p := &corev1.Pod{Spec: corev1.PodSpec{Priority: &priority}, Status: corev1.PodStatus{StartTime: &metav1.Time{Time: begin.Add(-age)}}}
		return newPodInfo(p, nil)
	}
	tests := map[string]struct{ better, worse candidate }{
		"fewer violations": {
			candidate{violations: 0, victims: []*podInfo{victim(9, 0), victim(9, 0)}}, candidate{violations: 1, victims: []*podInfo{victim(1, 0)}},
		},
		"the first less important": {
			candidate{victims: []*podInfo{victim(1, 0), victim(1, 0)}}, candidate{victims: []*podInfo{victim(2, 0)}},
		},
		"a smaller sum": {
			candidate{victims: []*podInfo{victim(5, 0), victim(-9, 0)}}, candidate{victims: []*podInfo{victim(5, 0), victim(1, 0)}},
		},
		"fewer of a negative priority": {
			candidate{victims: []*podInfo{victim(-5, 0)}}, candidate{victims: []*podInfo{victim(-5, 0), victim(-5, 0)}},
		},
		"started later": {
			candidate{victims: []*podInfo{victim(1, time.Second)}}, candidate{victims: []*podInfo{victim(1, time.Minute)}},
		},
		"the most important started later": {
			candidate{victims: []*podInfo{victim(1, time.Second), victim(0, time.Hour)}}, candidate{victims: []*podInfo{victim(1, time.Minute), victim(0, 0)}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.better.node, test.worse.node = "better", "worse"
			for _, order := range [][]candidate{{test.better, test.worse}, {test.worse, test.better}} {
				if got := pick(order, begin).node; got != "better" {
					t.Errorf("picked the %s of %s", got, fmt.Sprint(order[0].node, order[1].node))
				}
			}
		})
	}
}
