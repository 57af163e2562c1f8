package kubelet

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// TestNextTry: the CNI plugin looks each 100 ms for 2 s, and again from 12 s on.
func TestNextTry(t *testing.T) {
	ms := time.Millisecond
	for waited, want := range map[time.Duration]time.Duration{
		0: 0, 30 * ms: 70 * ms, 100 * ms: 0, 2000 * ms: 0, 2100 * ms: 9900 * ms, 11_900 * ms: 100 * ms, 12_050 * ms: 50 * ms,
	} {
		if got := nextTry(waited); got != want {
			t.Errorf("after %s the next look is in %s, want %s", waited, got, want)
		}
	}
}

// TestWaitsForItsAddress: without one there is no sandbox, and one that comes late is found
// when the next sandbox is tried.
func TestWaitsForItsAddress(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.create("p")
		pause(3 * time.Second)
		w.is("p", corev1.PodPending)
		if _, err := w.server.Pods().Change(key("p"), "", func(p *corev1.Pod) error {
			p.Annotations[AddressAnnotation] = "10.0.0.9/24"
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		pause(8 * time.Second)
		w.is("p", corev1.PodPending)
		pause(2 * time.Second)
		w.is("p", corev1.PodRunning)
		if got := w.get("p").Status.PodIP; got != "10.0.0.9" {
			t.Errorf("it has the address %s", got)
		}

		w.create("host", func(p *corev1.Pod) { p.Spec.HostNetwork = true })
		pause(settle)
		w.is("host", corev1.PodRunning)
		if got := w.get("host").Status.PodIP; got != "10.0.0.4" {
			t.Errorf("on the host's network it has the address %s", got)
		}
	})
}

// TestStartsAfter its image has come.
func TestStartsAfter(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.bind("p", annotations(StartAfterAnnotation, "10s"))
		pause(9 * time.Second)
		w.is("p", corev1.PodPending)
		pause(time.Second)
		w.is("p", corev1.PodRunning)
		w.bind("gone", annotations(StartAfterAnnotation, "1h"))
		w.remove("gone", nil)
		pause(deletion + settle)
		w.is("gone", "")
	})
}

// TestStops: containers take their time, but no longer than the grace period; then goes the
// sandbox, and at last the object.
func TestStops(t *testing.T) {
	tests := map[string]struct {
		takes string
		grace int64
		stops time.Duration // its containers
	}{
		"at once":                     {"0s", 30, 0},
		"slowly":                      {"4s", 30, 4 * time.Second},
		"not within its grace period": {"1h", 10, 10 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(w *world) {
				w.bind("p", annotations(StopAfterAnnotation, test.takes))
				w.remove("p", &test.grace)
				pause(test.stops + deletion - settle)
				w.is("p", corev1.PodRunning)
				pause(2 * settle)
				w.is("p", "")
				if got := len(w.machine.Addresses()); got != 0 {
					t.Errorf("there are %d sandboxes", got)
				}
			})
		})
	}
}

// TestGracePeriodIsShortened by another deletion.
func TestGracePeriodIsShortened(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.bind("p", annotations(StopAfterAnnotation, "1h"))
		w.remove("p", new(int64(600)))
		pause(10 * time.Second)
		w.remove("p", new(int64(1)))
		pause(deletion + settle)
		w.is("p", "")
	})
}

// TestEndedByOthers: somebody writes that a pod has failed, and its sandbox goes.
func TestEndedByOthers(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.bind("p")
		if _, err := w.server.Pods().Change(key("p"), "", func(p *corev1.Pod) error {
			p.Status.Phase = corev1.PodFailed
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		pause(teardown - settle)
		w.bind("early")
		w.isOutOf("early", outOfAddress)
		pause(2 * settle)
		w.bind("late")
		w.is("late", corev1.PodRunning)
		w.is("p", corev1.PodFailed)
	})
}

// TestTellsLate: while the API server is away pods go on, and what it should have been told
// it is told within 10 s after it is back.
func TestTellsLate(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.bind("job", annotations(CompleteAfterAnnotation, "10s"))
		w.server.Down()
		pause(20 * time.Second)
		w.is("job", corev1.PodRunning)
		if got := len(w.machine.Addresses()); got != 0 {
			t.Error("its sandbox is still there")
		}
		w.server.Up()
		pause(time.Minute)
		w.is("job", corev1.PodSucceeded)
		w.bind("next")
		w.is("next", corev1.PodRunning)
	})
}

// slowly has requests take so long from now on.
func (w *world) slowly(d time.Duration) {
	c := w.link.Conditions()
	c.Latency = apiserver.Spread{Min: d, Max: d}
	w.link.Set(c)
}

// TestReplacedPodIsLeftAlone: what is written of one pod never hits another of its name,
// even if it is under way when the other takes its place.
func TestReplacedPodIsLeftAlone(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	for name, test := range map[string]struct {
		annotation string
		after      time.Duration
	}{
		"its status":  {CompleteAfterAnnotation, 5 * time.Second},
		"its removal": {StopAfterAnnotation, 2*time.Second + deletion},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 9, func(w *world) {
				for _, name := range names {
					w.bind(name, annotations(test.annotation, "5s"))
				}
				if test.annotation == StopAfterAnnotation {
					for _, name := range names {
						w.remove(name, nil)
					}
					pause(5*time.Second + deletion - settle) // then the object is to be removed
				}
				w.slowly(2 * time.Second)
				pause(test.after)
				for _, name := range names {
					w.remove(name, apiserver.Force())
					w.create(name, annotations(AddressAnnotation, "10.0.0.8/32"))
				}
				pause(time.Minute)
				for _, name := range names {
					w.is(name, corev1.PodRunning)
				}
			})
		})
	}
}

// TestFinalPhaseStays: that a pod runs is written too late.
func TestFinalPhaseStays(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.slowly(2 * time.Second)
		w.bind("p")
		if _, err := w.server.Pods().Change(key("p"), "", func(p *corev1.Pod) error {
			p.Status.Phase = corev1.PodFailed
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		pause(time.Minute)
		w.is("p", corev1.PodFailed)
		if w.get("p").Status.PodIP == "" {
			t.Error("it was not written at all")
		}
	})
}
