package events

import (
	"context"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
)

// Each pod gets an event. In a burst of pods these wait, so that the API server
// binds pods first.
const (
	normalEvents = rate.Limit(25) // a second
	eventsAtOnce = 25
	mostWaiting  = 10_000 // events; those beyond are dropped, as events may be
)

// NewRecorder makes the recorder of events, which writes them while run runs.
func NewRecorder(kube kubernetes.Interface, scheme *runtime.Scheme) (r events.EventRecorder, run func(context.Context) error) {
	broadcaster := events.NewBroadcaster(patientSink{
		EventSink: &events.EventSinkImpl{Interface: kube.EventsV1()},
		limit:     rate.NewLimiter(normalEvents, eventsAtOnce),
	})
	return broadcaster.NewRecorder(scheme, "slotwise"), func(ctx context.Context) error {
		defer broadcaster.Shutdown()
		if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
}

// patientSink lets normal events wait for their turn; warnings go ahead.
type patientSink struct {
	events.EventSink
	limit *rate.Limiter
}

// Create writes an event that is not part of a series.
func (s patientSink) Create(ctx context.Context, e *eventsv1.Event) (*eventsv1.Event, error) {
	if e.Type != corev1.EventTypeNormal {
		return s.EventSink.Create(ctx, e)
	}
	if s.limit.Tokens() < -mostWaiting {
		return e, nil
	}
	if err := s.limit.Wait(ctx); err != nil {
		return nil, err
	}
	return s.EventSink.Create(ctx, e)
}
