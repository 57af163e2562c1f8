package page

import (
	"bytes"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"slotwise.dev/slotwise/allocator/survey"
	"slotwise.dev/slotwise/allocator/survey/draw"
)

// Span is how long the curves go back.
const Span = 5 * time.Minute

// Hub knows the cluster as it was told last, and tells everybody who listens what is new.
// It is safe for concurrent use.
type Hub struct {
	mu        sync.Mutex
	cluster   *survey.Cluster // nil: none was told yet
	pieces    Pieces
	samples   []draw.Sample
	listeners map[*listener]bool
}

// NewHub makes one that knows nothing yet.
func NewHub() *Hub { return &Hub{pieces: Pieces{}, listeners: map[*listener]bool{}} }

// listener is somebody who watches the page.
type listener struct {
	known Pieces        // what was sent
	wake  chan struct{} // there may be more
}

// Tell takes in the cluster as it is at a time.
func (h *Hub) Tell(c *survey.Cluster, now time.Time) {
	pieces := New(c)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cluster = c
	h.sampleLocked(draw.SampleOf(c, now), now)
	if old, drawn := h.pieces["history"]; drawn {
		pieces["history"] = old // Tick moves it on
	} else {
		pieces["history"] = h.historyLocked(now)
	}
	h.pieces = pieces
	h.wakeLocked()
}

// Tick moves the curves on, once a second. They are the largest piece where figures change
// all the time.
func (h *Hub) Tick(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cluster == nil || len(h.listeners) == 0 {
		return
	}
	next := maps.Clone(h.pieces)
	next["history"] = h.historyLocked(now)
	h.pieces = next
	h.wakeLocked()
}

// resolution is that of the curves in time: three pixels.
const resolution = time.Second

// sampleLocked keeps a sample where it is news, in place of the last one where that is
// younger than can be told apart, and forgets those that are too old to be seen. Caller
// holds h.mu.
func (h *Hub) sampleLocked(s draw.Sample, now time.Time) {
	if n := len(h.samples); n > 1 && h.samples[n-1].Mode == s.Mode && h.samples[n-1].Mode == h.samples[n-2].Mode && now.Sub(h.samples[n-1].At) < resolution {
		h.samples[n-1].Figures = s.Figures
	} else if n == 0 || h.samples[n-1].Figures != s.Figures || h.samples[n-1].Mode != s.Mode {
		h.samples = append(h.samples, s)
	}
	for len(h.samples) > 1 && h.samples[1].At.Before(now.Add(-Span)) { // the first holds until the second
		h.samples = h.samples[1:]
	}
}

// historyLocked draws the curves. Caller holds h.mu.
func (h *Hub) historyLocked(now time.Time) Piece {
	return Piece{HTML: draw.History(h.samples, Span, now).String()}
}

// wakeLocked tells listeners that there is more. Caller holds h.mu.
func (h *Hub) wakeLocked() {
	for l := range h.listeners {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// listen adds a listener, who knows nothing yet; the function that it returns removes it.
func (h *Hub) listen() (*listener, func()) {
	l := &listener{known: Pieces{}, wake: make(chan struct{}, 1)}
	l.wake <- struct{}{}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners[l] = true
	return l, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.listeners, l)
	}
}

// next is what a listener does not know yet, as JSON; nil: nothing. A slow one gets what
// came meanwhile at once.
func (h *Hub) next(l *listener) ([]byte, error) {
	h.mu.Lock()
	pieces := h.pieces
	h.mu.Unlock()
	diff := Diff(l.known, pieces)
	l.known = pieces
	if len(diff) == 0 {
		return nil, nil
	}
	var out bytes.Buffer
	encode := json.NewEncoder(&out)
	encode.SetEscapeHTML(false) // it is parsed as JSON, and is a third shorter
	err := encode.Encode(diff)
	return out.Bytes(), err
}

// current is the cluster as it was told last.
func (h *Hub) current() *survey.Cluster {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cluster
}
