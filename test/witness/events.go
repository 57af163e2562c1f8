package witness

import (
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// events is the store of a reflector of events about pods that have one reason. An event
// may get lost while the API server is away.
type events struct {
	mu    sync.Mutex
	about map[types.UID]happening
}

// happening is an event as it was told first.
type happening struct {
	by types.UID // of Preempted
	at time.Time
}

const (
	// reasonPreempted is kube-scheduler's on a victim.
	reasonPreempted = "Preempted"
	// reasonAddressLost is Slotwise's on a pod whose address has gone to others.
	reasonAddressLost = "AddressLost"
	// inMemory is what the scheduler adds where the victim was not bound yet, and goes
	// on to live.
	inMemory = "in kube-scheduler memory"
)

func newEvents() *events { return &events{about: map[types.UID]happening{}} }

// Add is that of cache.ReflectorStore.
func (s *events) Add(obj any) error { return s.Update(obj) }

// Update is that of cache.ReflectorStore.
func (s *events) Update(obj any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.see(obj.(*corev1.Event))
	return nil
}

// Delete is that of cache.ReflectorStore. What has been told stays so.
func (s *events) Delete(any) error { return nil }

// Replace is that of cache.ReflectorStore.
func (s *events) Replace(objs []any, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, obj := range objs {
		s.see(obj.(*corev1.Event))
	}
	return nil
}

// Resync is that of cache.ReflectorStore.
func (s *events) Resync() error { return nil }

// see takes up an event. s is locked.
func (s *events) see(e *corev1.Event) {
	if strings.Contains(e.Message, inMemory) {
		return
	}
	h := happening{at: e.EventTime.Time, by: preemptorOf(e.Message)}
	if h.at.IsZero() {
		h.at = e.FirstTimestamp.Time
	}
	if known, told := s.about[e.InvolvedObject.UID]; !told || h.at.Before(known.at) {
		s.about[e.InvolvedObject.UID] = h
	}
}

// preemptorOf reads the UID out of "Preempted by pod <UID> on node <name>", the only
// place where kube-scheduler 1.37 tells it (pkg/scheduler/framework/preemption/executor.go).
func preemptorOf(message string) types.UID {
	words := strings.Fields(message)
	if len(words) < 4 || words[0] != "Preempted" {
		return ""
	}
	return types.UID(words[3])
}

func (s *events) of(pod types.UID) (happening, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, told := s.about[pod]
	return h, told
}

func (s *events) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.about)
}
