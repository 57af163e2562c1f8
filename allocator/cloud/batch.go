package cloud

import (
	"context"
	"sync"
	"time"
)

// batcher lets callers that ask about one thing each share calls that ask about many.
// The fields above the lock do not change.
type batcher[V any] struct {
	window time.Duration // how long the first caller waits for others
	size   int           // the most keys of one call
	slots  chan struct{} // a place for each call in flight
	fetch  func(ctx context.Context, keys []string) (map[string]V, error)

	mu   sync.Mutex
	open *batch[V] // the one that callers can join; nil: none
}

// batch is one call and those who wait for it.
type batch[V any] struct {
	ctx     context.Context // ends when no caller waits any more
	cancel  context.CancelFunc
	keys    []string
	known   map[string]bool
	callers int
	full    chan struct{} // closed when it has as many keys as a call can
	done    chan struct{} // closed when found and err are set
	found   map[string]V
	err     error
}

func newBatcher[V any](window time.Duration, size, calls int, fetch func(context.Context, []string) (map[string]V, error)) *batcher[V] {
	return &batcher[V]{window: window, size: size, slots: make(chan struct{}, calls), fetch: fetch}
}

// get returns what a shared call found under a key, and whether it found it. When ctx
// ends, only this caller stops waiting.
func (b *batcher[V]) get(ctx context.Context, key string) (V, bool, error) {
	t := b.join(key)
	defer b.leave(t)
	select {
	case <-t.done:
		v, ok := t.found[key]
		return v, ok, t.err
	case <-ctx.Done():
		var none V
		return none, false, ctx.Err()
	}
}

// join adds a caller to the open batch, or to a new one.
func (b *batcher[V]) join(key string) *batch[V] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open == nil {
		b.open = &batch[V]{known: map[string]bool{}, full: make(chan struct{}), done: make(chan struct{})}
		b.open.ctx, b.open.cancel = context.WithCancel(context.Background())
		go b.run(b.open)
	}
	t := b.open
	t.callers++
	if !t.known[key] {
		t.known[key] = true
		t.keys = append(t.keys, key)
	}
	if len(t.keys) == b.size {
		close(t.full)
		b.open = nil
	}
	return t
}

// leave ends the call when its last caller leaves.
func (b *batcher[V]) leave(t *batch[V]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.callers--; t.callers > 0 {
		return
	}
	t.cancel()
	b.shutLocked(t)
}

// shutLocked keeps further callers out of a batch. Caller holds b.mu.
func (b *batcher[V]) shutLocked(t *batch[V]) {
	if b.open == t {
		b.open = nil
	}
}

// run makes the call of a batch. More callers may join until it starts.
func (b *batcher[V]) run(t *batch[V]) {
	defer close(t.done)
	select {
	case <-time.After(b.window):
	case <-t.full:
	}
	b.slots <- struct{}{}
	defer func() { <-b.slots }()
	b.mu.Lock()
	b.shutLocked(t)
	b.mu.Unlock()
	if t.err = t.ctx.Err(); t.err == nil {
		t.found, t.err = b.fetch(t.ctx, t.keys)
	}
}
