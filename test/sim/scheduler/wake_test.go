package scheduler

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

func TestBindsByTheExtender(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 2)
		w.start(Options{Extender: &fakeExtender{w: w}})
		w.pod("p")
		pause(settle)
		w.isOn("p", "a")
		if got := w.get("p").Annotations[address]; got == "" {
			t.Error("it has no address")
		}
	})
}

// changes of a Node, of which none but growth can help a pod that the Node had too little for.
var nodeChanges = map[string]func(*corev1.Node){
	"a label": func(n *corev1.Node) { n.Labels["x"] = "y" },
	"an annotation": func(n *corev1.Node) {
		n.Annotations = map[string]string{"slotwise.dev/remaining-addresses": "3"}
	},
	"a condition": func(n *corev1.Node) {
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	},
	"another resource grows": func(n *corev1.Node) { n.Status.Allocatable["cpu"] = quantity(16) },
	"it shrinks":             func(n *corev1.Node) { n.Status.Allocatable[address] = quantity(0) },
}

// TestWakesByGrowthOnly is for a pod that NodeResourcesFit has rejected.
func TestWakesByGrowthOnly(t *testing.T) {
	for name, change := range nodeChanges {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.node("a", 1)
				w.pod("first", on("a"))
				w.start(Options{Extender: &fakeExtender{w: w}})
				w.pod("p")
				pause(settle)
				before := w.attempts("p")
				w.changeNode("a", change)
				if got := w.attempts("p"); before != 1 || got != 1 {
					t.Errorf("it was tried %d times, then %d times, want 1 and 1", before, got)
				}
				w.changeNode("a", func(n *corev1.Node) { n.Status.Allocatable[address] = quantity(2) })
				w.isOn("p", "a")
			})
		})
	}
}

// TestGrowthThatDoesNotFitWakesNobody: fit.go isSchedulableAfterNodeChange asks for room on
// the empty node first.
func TestGrowthThatDoesNotFitWakesNobody(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 0)
		w.start(Options{})
		w.pod("p", func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests[address] = quantity(3) })
		pause(settle)
		w.changeNode("a", func(n *corev1.Node) { n.Status.Allocatable[address] = quantity(2) })
		if got := w.attempts("p"); got != 1 {
			t.Errorf("it was tried %d times, want 1", got)
		}
	})
}

// TestExtenderRejectionWakesByAnything is for a pod that the extender has turned away. Its
// own condition is the first of the events.
func TestExtenderRejectionWakesByAnything(t *testing.T) {
	for name, change := range nodeChanges {
		if name == "it shrinks" {
			continue // then it is NodeResourcesFit that rejects it
		}
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.node("a", 5)
				w.start(Options{Extender: &fakeExtender{w: w, filter: refuse}})
				w.pod("p")
				pause(time.Minute)
				before := w.attempts("p")
				if before != 2 {
					t.Errorf("it was tried %d times, want 2: by itself, and by its condition", before)
				}
				w.changeNode("a", change)
				if got := w.attempts("p"); got != before+1 {
					t.Errorf("it was tried %d times after the change, want once", got-before)
				}
				w.changeNode("a", func(n *corev1.Node) {
					for i := range n.Status.Conditions {
						n.Status.Conditions[i].LastHeartbeatTime.Time = time.Now()
					}
				})
				if got := w.attempts("p"); got != before+1 {
					t.Error("a heartbeat has it tried")
				}
			})
		})
	}
}

// TestPodEventsWake are those of pods, for both kinds of rejection.
func TestPodEventsWake(t *testing.T) {
	tests := map[string]struct {
		extender  bool // it is that which rejects
		happens   func(*world)
		wantTried bool
	}{
		"fit: a pod goes":          {false, func(w *world) { w.remove("other") }, true},
		"fit: a pod ends":          {false, func(w *world) { w.setPhase("other", corev1.PodSucceeded) }, true},
		"fit: a pod changes":       {false, func(w *world) { w.setPhase("other", corev1.PodRunning) }, false},
		"fit: a pod comes":         {false, func(w *world) { w.pod("another", on("a")) }, false},
		"extender: a pod goes":     {true, func(w *world) { w.remove("other") }, true},
		"extender: a pod changes":  {true, func(w *world) { w.setPhase("other", corev1.PodRunning) }, true},
		"extender: a pod comes":    {true, func(w *world) { w.pod("another", on("a")) }, true},
		"extender: a pod is asked": {true, func(w *world) { w.pod("another") }, true}, // it is bound
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				e := &fakeExtender{w: w}
				w.node("a", 2)
				if test.extender {
					w.changeNode("a", func(n *corev1.Node) { n.Status.Allocatable[address] = quantity(9) })
					e.filter = func(pod string, nodes []string) (*extenderv1.ExtenderFilterResult, error) {
						if pod == "p" {
							return refuse(pod, nodes)
						}
						return &extenderv1.ExtenderFilterResult{NodeNames: &nodes}, nil
					}
				}
				w.pod("other", on("a"))
				w.pod("third", on("a"))
				w.start(Options{Extender: e})
				w.pod("p")
				pause(time.Minute)
				before := w.attempts("p")
				test.happens(w)
				pause(settle)
				tried := w.attempts("p") > before || w.get("p").Spec.NodeName != ""
				if tried != test.wantTried {
					t.Errorf("tried again: %t, want %t", tried, test.wantTried)
				}
			})
		})
	}
}

// TestFlush: without any event a pod is tried after five minutes, at a look each 30 s.
func TestFlush(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 0)
		w.start(Options{})
		tried := func(after time.Duration, p, q int) {
			t.Helper()
			pause(after)
			if gotP, gotQ := w.attempts("p"), w.attempts("q"); gotP != p || gotQ != q {
				t.Errorf("they were tried %d and %d times, want %d and %d", gotP, gotQ, p, q)
			}
		}
		w.pod("p")
		tried(time.Minute, 1, 0)
		w.pod("q")
		tried(4*time.Minute, 1, 1)
		tried(30*time.Second, 2, 1)
		tried(time.Minute, 2, 2)
		tried(5*time.Minute, 3, 2)
		tried(30*time.Second, 3, 3)
	})
}

// TestErrorBackoff: errors in a row double the back-off, and nothing cuts it short.
func TestErrorBackoff(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 5)
		var at []int // seconds
		begin := time.Now()
		w.start(Options{Extender: &fakeExtender{w: w, filter: func(string, []string) (*extenderv1.ExtenderFilterResult, error) {
			at = append(at, int(time.Since(begin).Seconds()))
			return nil, errors.New("away")
		}}})
		w.pod("p")
		pause(time.Minute)
		synctest.Wait()
		// 1, 2, 4, 8, 10, 10 s, cut down to whole windows of 1 s, each of which is over
		// only at the next one.
		want := []int{0, 2, 5, 10, 19, 30, 41, 52}
		if !slices.Equal(at, want) {
			t.Fatalf("it was tried at %v, want %v (s)", at, want)
		}
		w.changeNode("a", nodeChanges["a label"])
		if len(at) != len(want) {
			t.Error("an event has cut the back-off short")
		}
	})
}

// TestIdleSchedulerCutsBackoffShort: with nothing else to do it takes pods out of back-off
// (SchedulerPopFromBackoffQ), so that each event is an attempt.
func TestIdleSchedulerCutsBackoffShort(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 5)
		w.start(Options{Extender: &fakeExtender{w: w, filter: refuse}})
		w.pod("p")
		pause(time.Minute)
		before := w.attempts("p")
		for i := range 5 {
			w.changeNode("a", func(n *corev1.Node) { n.Labels["x"] = string(rune('a' + i)) })
		}
		if got := w.attempts("p") - before; got != 5 {
			t.Errorf("it was tried %d times for 5 events within 2.5 s, want 5", got)
		}
	})
}

// TestEventsInFlightCount: what happens while a pod is being tried is not lost. The snapshot
// is older than that.
func TestEventsInFlightCount(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		w.pod("low", on("a"))
		e := &fakeExtender{w: w, preempt: func(metas) (metas, error) {
			time.Sleep(time.Second) // within the scheduling cycle
			return nil, nil
		}}
		w.start(Options{Extender: e})
		w.pod("p", withPriority(1))
		pause(100 * time.Millisecond)
		w.changeNode("a", func(n *corev1.Node) { n.Status.Allocatable[address] = quantity(2) })
		w.isOn("p", "")
		pause(time.Second)
		w.isOn("p", "a")
	})
}

// TestImportantPodsFirst, and of those that are alike the one that waits longer.
func TestImportantPodsFirst(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 2)
		w.start(Options{Cycle: 100 * time.Millisecond})
		w.pod("busy") // all others come while it is being tried
		pause(50 * time.Millisecond)
		w.pod("first")
		pause(lag)
		w.pod("second")
		pause(lag)
		w.pod("high", withPriority(1))
		pause(settle)
		w.isOn("high", "a")
		w.isOn("first", "")
		w.isOn("second", "")
		w.remove("busy")
		w.isOn("first", "a")
		w.isOn("second", "")
	})
}

// TestBoundByOthers: a pod that another has bound is not tried any more.
func TestBoundByOthers(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 0)
		w.start(Options{})
		w.pod("p")
		pause(settle)
		if err := w.client.Bind(w.ctx, apiserver.Assignment{Pod: key("p"), Node: "elsewhere"}); err != nil {
			t.Fatal(err)
		}
		pause(10 * time.Minute)
		if got := w.attempts("p"); got != 1 {
			t.Errorf("it was tried %d times, want 1", got)
		}
	})
}

// TestCordon keeps pods off, until it is lifted.
func TestCordon(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		w.changeNode("a", func(n *corev1.Node) { n.Spec.Unschedulable = true })
		w.start(Options{})
		w.pod("p")
		pause(settle)
		w.isOn("p", "")
		w.changeNode("a", func(n *corev1.Node) { n.Spec.Unschedulable = false })
		w.isOn("p", "a")
	})
}
