package scheduler

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// TestNominatedPodsCountBesideTheirVictims: as long as a victim stops, its place is taken
// twice, by itself and by the pod that it goes for. So another pod does not fit where there
// is room for it.
func TestNominatedPodsCountBesideTheirVictims(t *testing.T) {
	for name, test := range map[string]struct {
		priority int32
		fits     bool
	}{
		"as important":   {100, false},
		"less important": {50, false},
		"more important": {200, true}, // it does not have to stand back
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.twoStop(Options{})
				w.pod("other", withPriority(test.priority), never)
				pause(settle)
				if fits := w.get("other").Spec.NodeName != ""; fits != test.fits {
					t.Errorf("fits: %t, want %t; it says %q", fits, test.fits, w.says("other"))
				}
				w.remove("second")
				w.remove("third")
				w.isOn("high", "a")
				w.isOn("other", "a")
			})
		})
	}
}

// TestDoubleCountingTakesOneMore: a pod that preempts meanwhile may have more go than
// there is need for, as the place of a victim that is more important is not given back.
func TestDoubleCountingTakesOneMore(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 3)
		w.run("a", "first", "second", "third")
		protected := "third"
		w.start(Options{Protected: func(p *corev1.Pod) bool { return p.Name == protected }})
		w.pod("high", withPriority(100))
		pause(time.Second)
		w.wantVictims("second")
		protected = "second" // it stops, and is spared all the same
		w.pod("higher", withPriority(100))
		pause(time.Second)
		w.wantVictims("second", "first", "third")
	})
}

// TestEndsNominationsOfLessImportantPods on the node where one has others go.
func TestEndsNominationsOfLessImportantPods(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 2)
		w.run("a", "first", "second")
		w.start(Options{})
		w.pod("high", withPriority(100))
		pause(time.Second)
		w.wantVictims("second")
		w.nominatedOn("high", "a")
		w.pod("higher", withPriority(200), func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests[address] = quantity(2) })
		pause(time.Second)
		w.wantVictims("second", "first", "second")
		w.nominatedOn("higher", "a")
		w.nominatedOn("high", "")
	})
}

// TestStoppingVictimsNeedNoMore: the nominations of others stay where all victims of a pod
// stop already.
func TestStoppingVictimsNeedNoMore(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		w.run("a", "low")
		w.start(Options{})
		w.pod("high", withPriority(100))
		pause(time.Second)
		w.pod("higher", withPriority(200))
		pause(time.Second)
		w.nominatedOn("high", "a")
		w.nominatedOn("higher", "a")
		w.remove("low")
		w.isOn("higher", "a")
		w.isOn("high", "")
		w.nominatedOn("high", "") // nothing there helps it now
	})
}

// twoStop has a pod nominated on a node where two others stop for it, and one place is free:
// for another pod if the nomination does not count, and it does not have to stand back.
func (w *world) twoStop(o Options) {
	w.t.Helper()
	w.node("a", 4)
	w.run("a", "zeroth", "first", "second", "third")
	w.start(o)
	w.pod("high", withPriority(100), func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests[address] = quantity(2) })
	pause(time.Second)
	w.wantVictims("second", "third")
	w.remove("first")
	w.isOn("high", "")
}

func never(p *corev1.Pod) { p.Spec.PreemptionPolicy = new(corev1.PreemptNever) }

// TestEndOfANominationWakes the pods that had to stand back behind it.
func TestEndOfANominationWakes(t *testing.T) {
	for name, happens := range map[string]func(*world){
		"it is ended": func(w *world) {
			if _, err := w.server.Pods().Change(key("high"), "", func(p *corev1.Pod) error {
				p.Status.NominatedNodeName = ""
				never(p) // or it would be nominated anew
				return nil
			}); err != nil {
				w.t.Fatal(err)
			}
			pause(settle)
		},
		"the pod goes": func(w *world) { w.remove("high") },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.twoStop(Options{})
				w.pod("other", withPriority(100), never)
				pause(settle)
				w.isOn("other", "")
				happens(w)
				w.isOn("other", "a")
			})
		})
	}
}

// TestNominationCountsAtOnce, before the watch has shown it, even if that shows another
// change of the pod first.
func TestNominationCountsAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 4)
		w.run("a", "first", "second", "third")
		w.start(Options{})
		w.link.Set(apiserver.Conditions{Lag: apiserver.Spread{Min: time.Second, Max: time.Second}})
		w.pod("high", withPriority(100), func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests[address] = quantity(2) })
		pause(100 * time.Millisecond)
		if _, err := w.server.Pods().Change(key("high"), "", func(p *corev1.Pod) error {
			p.Labels = map[string]string{"x": "y"}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		w.pod("other", withPriority(100), never)
		pause(1500 * time.Millisecond)
		if w.attempts("other") == 0 {
			t.Error("the other pod has got the place")
		}
		w.isOn("other", "")
	})
}

// TestNominatedNodeComesFirst, whichever is better.
func TestNominatedNodeComesFirst(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("a", 1)
		w.run("a", "low")
		e := &fakeExtender{w: w, prioritize: func([]string) list { return list{{Host: "b", Score: 10}} }}
		w.start(Options{Extender: e, Cycle: settle})
		w.pod("high", withPriority(100))
		pause(time.Second)
		w.nominatedOn("high", "a")
		w.node("b", 1)
		w.remove("low") // both are seen in the same cycle
		pause(time.Second)
		w.isOn("high", "a")
	})
}

// TestAssumedPodIsNominatedNoMore, so that it counts once.
func TestAssumedPodIsNominatedNoMore(t *testing.T) {
	inWorld(t, func(w *world) {
		e := &fakeExtender{w: w}
		w.twoStop(Options{Extender: e})
		e.bind = e.slowly(5 * time.Second)
		w.remove("second")
		w.remove("third") // three are free, of which the pod takes two
		w.pod("other", withPriority(100), never)
		pause(time.Second)
		if got := w.attempts("other"); got != 0 {
			t.Errorf("the other was rejected %d times: %s", got, w.says("other"))
		}
		pause(5 * time.Second)
	})
}

// TestWhatEndsANomination: an answer of preempt without nodes keeps it, an error of filter
// ends it.
func TestWhatEndsANomination(t *testing.T) {
	for name, test := range map[string]struct {
		happens func(*world, *fakeExtender)
		want    string
	}{
		"preempt answers no node": {func(w *world, e *fakeExtender) {
			e.preempt = func(metas) (metas, error) { return nil, nil }
			w.pod("lower", on("a")) // it takes the place of the victim
		}, "a"},
		"filter fails": {func(_ *world, e *fakeExtender) {
			e.filter = func(string, []string) (*answer, error) { return nil, errors.New("away") }
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				e := &fakeExtender{w: w}
				w.node("a", 1)
				w.run("a", "low")
				w.start(Options{Extender: e})
				w.pod("high", withPriority(100))
				pause(time.Second)
				w.nominatedOn("high", "a")
				before := w.attempts("high")
				test.happens(w, e)
				w.remove("low")
				if w.attempts("high") == before {
					t.Fatal("it was not tried again")
				}
				w.isOn("high", "")
				w.nominatedOn("high", test.want)
			})
		})
	}
}
