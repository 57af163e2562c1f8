package witness

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func preemptedBy(by string, second float64, more string) *corev1.Event {
	return &corev1.Event{
		InvolvedObject: corev1.ObjectReference{UID: "victim"},
		EventTime:      metav1.MicroTime{Time: at(second)},
		Message:        "Preempted by pod " + by + " on node n" + more,
	}
}

// Two preemptors may tell of one victim: the second found it on its way out. Of a victim
// that was not bound yet nothing has to go.
func TestEvents(t *testing.T) {
	for name, test := range map[string]struct {
		seen []*corev1.Event
		want happening
	}{
		"one":              {seen: []*corev1.Event{preemptedBy("a", 10, "")}, want: happening{by: "a", at: at(10)}},
		"the first counts": {seen: []*corev1.Event{preemptedBy("b", 20, ""), preemptedBy("a", 10, "")}, want: happening{by: "a", at: at(10)}},
		"in memory":        {seen: []*corev1.Event{preemptedBy("a", 10, " (in kube-scheduler memory).")}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newEvents()
			for _, e := range test.seen {
				if err := s.Add(e); err != nil {
					t.Fatal(err)
				}
			}
			if got, _ := s.of("victim"); got != test.want {
				t.Errorf("known %+v, want %+v", got, test.want)
			}
		})
	}
}

// What is told of a victim long after it was marked is told by a later preemptor.
func TestPreemptors(t *testing.T) {
	victim := Life{UID: "victim", Marked: second(10)}
	for name, test := range map[string]struct {
		told time.Time
		want types.UID
	}{
		"at once": {told: at(10.1), want: "a"},
		"late":    {told: at(40)},
	} {
		t.Run(name, func(t *testing.T) {
			w := &Witness{clock: newClock(), preempted: &events{about: map[types.UID]happening{"victim": {by: "a", at: test.told}}}}
			if got := w.preemptors([]Life{victim})["victim"]; got != test.want {
				t.Errorf("preempted by %q, want %q", got, test.want)
			}
		})
	}
}
