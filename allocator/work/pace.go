package work

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// firstWidth is how many writes are under way at first.
	firstWidth = 8
	// widest is how many there are at the most.
	widest = 2 * Workers
	// patience is how many times as long as in quiet an answer may take before it counts
	// as slow; always is never slow.
	patience, always = 4, 50 * time.Millisecond
	// instant is quicker than any server: nobody was asked.
	instant = time.Millisecond
	// quietFor is for how long the quickest answer says what quiet is.
	quietFor = time.Minute
	// lateEvery is how often it is asked whether something more urgent is late.
	lateEvery = 100 * time.Millisecond
)

// Pace is how many writes that nobody waits for may be under way at once: as many as the
// API server takes without answering more slowly than in quiet, and none while something
// more urgent is late. Queues that share it share its width. It is safe for concurrent use.
//
// The width grows by one a round of answers in time, and is halved by one that is slow or
// by 429, as TCP does with its window (RFC 5681).
type Pace struct {
	late func() bool

	mu       sync.Mutex
	width    float64
	under    int           // way
	narrowed time.Time     // when the width was halved last: what began before does not count
	quiet    time.Duration // the quickest answer, as of the time at
	at       time.Time
	free     chan struct{} // has one while there may be room for one that waits
}

// NewPace makes a Pace. late says that something more urgent is late.
func NewPace(late func() bool) *Pace {
	return &Pace{late: late, width: firstWidth, free: make(chan struct{}, 1)}
}

// Do writes once it is time. The error is that of ctx, or of the write. With a nil Pace
// it is always time.
func (p *Pace) Do(ctx context.Context, write func() error) error {
	if p == nil {
		return write()
	}
	if err := p.begin(ctx); err != nil {
		return err
	}
	began := time.Now()
	err := write()
	p.end(began, time.Since(began), err)
	return err
}

// begin waits until one more may be under way.
func (p *Pace) begin(ctx context.Context) error {
	for !p.enter() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.free:
		case <-time.After(lateEvery):
		}
	}
	return nil
}

// enter has one more be under way, if it may.
func (p *Pace) enter() bool {
	late := p.late()
	p.mu.Lock()
	defer p.mu.Unlock()
	if late || p.under >= int(p.width) {
		return false
	}
	p.under++
	p.wakeLocked() // there may be room for more than one
	return true
}

// end takes in how long an answer took.
func (p *Pace) end(began time.Time, took time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.under--
	defer p.wakeLocked()
	if took < instant {
		return
	}
	slow := took > max(always, patience*p.quietLocked(began.Add(took), took)) || apierrors.IsTooManyRequests(err) || apierrors.IsTimeout(err)
	switch {
	case !slow:
		p.width = min(widest, p.width+1/p.width)
	case began.After(p.narrowed):
		p.width, p.narrowed = max(1, p.width/2), began.Add(took)
	}
}

// wakeLocked has one that waits look, if there is room. Caller holds p.mu.
func (p *Pace) wakeLocked() {
	if p.under < int(p.width) {
		select {
		case p.free <- struct{}{}:
		default:
		}
	}
}

// quietLocked is the quickest answer of late. Caller holds p.mu.
func (p *Pace) quietLocked(now time.Time, took time.Duration) time.Duration {
	if p.quiet == 0 || took < p.quiet || now.Sub(p.at) > quietFor {
		p.quiet, p.at = took, now
	}
	return p.quiet
}
