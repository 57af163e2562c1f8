package cloud

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bucket is the size of a token bucket. EC2 keeps such buckets itself, for each
// account, region and action.
// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
type Bucket struct {
	Burst     int     // calls at once
	PerSecond float64 // calls a second after that
}

// fairShare keeps the less urgent from waiting for ever: of the tokens that several
// wait for, one in so many goes to the one that has waited longest. All others go by
// urgency.
const fairShare = 8

// bucket hands out the tokens of one API action.
type bucket struct {
	mu        sync.Mutex
	limiter   *rate.Limiter
	pace      pace
	waiters   []*waiter // in the order of their arrival
	timed     bool      // a timer will hand out the next token
	contested int       // tokens handed out while several waited
}

// waiter is one call that wants a token.
type waiter struct {
	urgency *Urgency
	ready   chan struct{} // closed when it has the token
}

func newBucket(size Bucket) *bucket {
	return &bucket{
		limiter: rate.NewLimiter(rate.Limit(size.PerSecond), size.Burst),
		pace:    pace{full: size.PerSecond},
	}
}

// take waits for a token.
func (b *bucket) take(ctx context.Context, u *Urgency) error {
	w := &waiter{urgency: u, ready: make(chan struct{})}
	b.mu.Lock()
	b.waiters = append(b.waiters, w)
	b.pourLocked()
	b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		b.leave(w)
		return ctx.Err()
	}
}

// leave removes a waiter. If it got a token meanwhile, another one gets it.
func (b *bucket) leave(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiters, w); i >= 0 {
		b.waiters = slices.Delete(b.waiters, i, i+1)
	} else if len(b.waiters) > 0 {
		b.grantLocked()
	}
}

// throttled slows the bucket down after EC2 has throttled a call that was sent at
// a time. EC2's own bucket was empty then, so this one is emptied too.
func (b *bucket) throttled(sent time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	slower := b.pace.throttled(sent, now)
	if slower == b.pace {
		return
	}
	b.limiter.AllowN(now, int(b.limiter.TokensAt(now)))
	b.pace = slower
}

// pourLocked hands out the tokens that there are, and starts a timer for the next
// one. Caller holds b.mu.
func (b *bucket) pourLocked() {
	for len(b.waiters) > 0 && !b.timed {
		now := time.Now()
		b.limiter.SetLimitAt(now, rate.Limit(b.pace.at(now)))
		token := b.limiter.ReserveN(now, 1)
		if wait := token.DelayFrom(now); wait > 0 {
			token.CancelAt(now)
			b.startTimerLocked(wait)
			return
		}
		b.grantLocked()
	}
}

// startTimerLocked has the next token handed out when it is there. Caller holds b.mu.
func (b *bucket) startTimerLocked(wait time.Duration) {
	b.timed = true
	time.AfterFunc(wait, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.timed = false
		b.pourLocked()
	})
}

// grantLocked gives a token to the waiter whose turn it is. Caller holds b.mu.
func (b *bucket) grantLocked() {
	i := b.turnLocked()
	close(b.waiters[i].ready)
	b.waiters = slices.Delete(b.waiters, i, i+1)
}

// turnLocked finds the waiter whose turn it is: the most urgent one now, of equals the
// one that has waited longest, and sometimes the one that has waited longest of all
// (see fairShare). Caller holds b.mu.
func (b *bucket) turnLocked() int {
	if len(b.waiters) == 1 {
		return 0
	}
	if b.contested++; b.contested%fairShare == 0 {
		return 0
	}
	best, most := 0, b.waiters[0].urgency.Get()
	for i, w := range b.waiters[1:] {
		if u := w.urgency.Get(); u < most {
			best, most = i+1, u
		}
	}
	return best
}
