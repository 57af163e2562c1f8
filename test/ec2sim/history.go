package ec2sim

import "time"

// MaxLag is the longest stale-read lag that can be set: older states are
// forgotten.
const MaxLag = time.Minute

// history keeps the states of one thing for MaxLag, so that a read can be
// answered with the state of a while ago. The zero value has no state yet.
type history[T any] struct {
	versions []version[T]
}

type version[T any] struct {
	since time.Time
	state T
}

// set makes state the current one from now on.
func (h *history[T]) set(now time.Time, state T) {
	h.versions = append(h.versions, version[T]{now, state})
	forgotten := 0
	for forgotten+1 < len(h.versions) && now.Sub(h.versions[forgotten+1].since) > MaxLag {
		forgotten++
	}
	h.versions = h.versions[forgotten:]
}

// now is the current state.
func (h *history[T]) now() T {
	return h.versions[len(h.versions)-1].state
}

// at is the state as it was at t. What is younger than t shows as it was when
// it was made: an inventory built for a test is visible at once, whatever the lag.
func (h *history[T]) at(t time.Time) T {
	i := len(h.versions) - 1
	for i > 0 && h.versions[i].since.After(t) {
		i--
	}
	return h.versions[i].state
}
