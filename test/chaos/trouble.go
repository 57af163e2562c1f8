package main

import (
	"context"
	"math/rand/v2"
	"time"

	"slotwise.dev/slotwise/test/witness"
)

// stream is troubles that come one after the other, with pauses between. Several
// streams go side by side.
type stream struct {
	pause    time.Duration // on average
	troubles []trouble
}

// trouble is something that goes wrong, now and then.
type trouble struct {
	name   string
	weight int
	// make does it and undoes it. It is cut short when ctx ends, and undoes it
	// then, too.
	make func(ctx context.Context, r *rand.Rand) error
}

// run makes trouble until ctx ends.
func (c *chaos) run(ctx context.Context, s stream, r *rand.Rand) {
	for sleep(ctx, between(r, s.pause/2, 3*s.pause/2)) {
		t := s.choose(r)
		c.did(t.name)
		if err := t.make(ctx, r); err != nil && ctx.Err() == nil {
			c.did("troubles that could not be made")
			c.note(witness.Note{Text: t.name + ": " + err.Error()})
		}
	}
}

// choose takes a trouble by weight.
func (s stream) choose(r *rand.Rand) trouble {
	total := 0
	for _, t := range s.troubles {
		total += t.weight
	}
	at := r.IntN(total)
	for _, t := range s.troubles {
		if at -= t.weight; at < 0 {
			return t
		}
	}
	panic("weights do not add up")
}

// sleep waits, and says whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// between draws a duration.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)+1))
}
