package apiserver

import (
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
)

// maxRecorded is how many events are kept.
const maxRecorded = 10_000

// Recorded is an event as kubectl describe would show it.
type Recorded struct {
	At                         time.Time
	By                         string // the name of the link
	Regarding                  corev1.ObjectReference
	Type, Reason, Action, Note string
}

type recorder struct {
	mu   sync.Mutex
	kept []Recorded
}

// Recorded lists the events that were recorded, oldest first: the last 10,000 or so.
func (s *Server) Recorded() []Recorded {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return slices.Clone(s.recorder.kept)
}

// Events records events at once; those of a process that has crashed are lost.
func (c *Client) Events() events.EventRecorder { return reporter{c} }

type reporter struct{ client *Client }

// Eventf is that of events.EventRecorder.
func (r reporter) Eventf(regarding, _ runtime.Object, kind, reason, action, note string, args ...any) {
	if r.client.link.leave() != nil {
		return
	}
	e := Recorded{
		At: time.Now(), By: r.client.link.name, Regarding: reference(regarding),
		Type: kind, Reason: reason, Action: action, Note: fmt.Sprintf(note, args...),
	}
	k := r.client.server.recorder
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.kept) == 2*maxRecorded {
		k.kept = slices.Clone(k.kept[maxRecorded:])
	}
	k.kept = append(k.kept, e)
}

// reference names an object, or is one.
func reference(o runtime.Object) corev1.ObjectReference {
	if r, ok := o.(*corev1.ObjectReference); ok {
		return *r
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return corev1.ObjectReference{}
	}
	return corev1.ObjectReference{
		Kind: o.GetObjectKind().GroupVersionKind().Kind, Namespace: m.GetNamespace(), Name: m.GetName(), UID: m.GetUID(),
	}
}
