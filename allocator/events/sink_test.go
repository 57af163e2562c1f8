package events

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
)

// sink takes events.
type sink struct {
	events.EventSink
	taken []string // their types
}

func (s *sink) Create(_ context.Context, e *eventsv1.Event) (*eventsv1.Event, error) {
	s.taken = append(s.taken, e.Type)
	return e, nil
}

func TestPatientSink(t *testing.T) {
	normal, warning := &eventsv1.Event{Type: corev1.EventTypeNormal}, &eventsv1.Event{Type: corev1.EventTypeWarning}
	synctest.Test(t, func(t *testing.T) {
		under := &sink{}
		s := patientSink{EventSink: under, limit: rate.NewLimiter(normalEvents, eventsAtOnce)}
		create := func(e *eventsv1.Event) time.Duration {
			began := time.Now()
			if _, err := s.Create(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		for range eventsAtOnce {
			if waited := create(normal); waited > 0 {
				t.Fatalf("one of the first events waited %s", waited)
			}
		}
		if waited := create(normal); waited == 0 {
			t.Error("a normal event did not wait for its turn")
		}
		if waited := create(warning); waited > 0 {
			t.Errorf("a warning waited %s", waited)
		}

		// A crowd waits; the next one is dropped, and a warning still goes ahead.
		for range mostWaiting / eventsAtOnce {
			s.limit.ReserveN(time.Now(), eventsAtOnce)
		}
		s.limit.Reserve()
		before := len(under.taken)
		if waited := create(normal); waited > 0 || len(under.taken) != before {
			t.Errorf("one event too many waited %s, %d were written", waited, len(under.taken)-before)
		}
		if waited := create(warning); waited > 0 || len(under.taken) != before+1 {
			t.Errorf("a warning waited %s behind the crowd", waited)
		}
	})
}

// Who waits for its turn ends with the recorder.
func TestPatientSinkEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		under := &sink{}
		s := patientSink{EventSink: under, limit: rate.NewLimiter(normalEvents, eventsAtOnce)}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Create(ctx, &eventsv1.Event{Type: corev1.EventTypeNormal}); !errors.Is(err, context.Canceled) || len(under.taken) > 0 {
			t.Errorf("%d events were written after the end, the error is %v", len(under.taken), err)
		}
	})
}

// Events are written while the recorder runs; once it has ended, nothing of it runs on.
func TestRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kube := fake.NewClientset()
		r, run := NewRecorder(kube, scheme.Scheme)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- run(ctx) }()
		synctest.Wait()
		Reporter{Recorder: r}.Allocated(iis, "1", netip.MustParsePrefix("10.0.0.9/24"))
		time.Sleep(time.Second)
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		all, err := kube.EventsV1().Events("default").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(all.Items) != 1 {
			t.Fatalf("events %v, %v; want one", all, err)
		}
		if e := all.Items[0]; e.Reason != ReasonAllocated || e.Action != ActionAllocate || e.Regarding != *Pod(iis, "1") ||
			e.ReportingController != "slotwise" || e.Type != corev1.EventTypeNormal {
			t.Errorf("the event is %+v", e)
		}
	})
}
