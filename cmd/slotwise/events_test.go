package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
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
		ctx, cancel := context.WithCancel(t.Context())
		for range mostWaiting + 1 {
			go func() {
				if _, err := s.Create(ctx, normal); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		before := len(under.taken)
		if waited := create(normal); waited > 0 || len(under.taken) != before {
			t.Errorf("one event too many waited %s, %d were written", waited, len(under.taken)-before)
		}
		if waited := create(warning); waited > 0 || len(under.taken) != before+1 {
			t.Errorf("a warning waited %s behind the crowd", waited)
		}
		cancel()
	})
}
