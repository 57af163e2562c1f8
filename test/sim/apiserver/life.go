package apiserver

import (
	"context"
	"sync"
	"time"
)

const (
	// silence is how long a client waits for a sign of a connection before it gives it
	// up: 30 s until it asks, 15 s for an answer. k8s.io/apimachinery v0.37.2,
	// pkg/util/net/http.go (HTTP2_READ_IDLE_TIMEOUT_SECONDS, HTTP2_PING_TIMEOUT_SECONDS).
	silence = 45 * time.Second
	// youth is how long after its start an API server may answer with Forbidden, until
	// its informers of roles have begun.
	youth = time.Second
)

// life is whether the API server's process runs, and since when.
type life struct {
	cut func() // ends all watches

	mu     sync.Mutex
	number int           // counts its starts
	down   bool          // between Down and Up
	frozen chan struct{} // closed by Thaw; nil: it runs
	parked []func()      // what is done at the Thaw, in order
	since  time.Time     // the last Up; zero: never
}

// Down ends the API server: connections are refused, watches end, and requests that are
// under way are lost. What is stored stays.
func (l *life) Down() {
	l.Thaw()
	l.mu.Lock()
	l.down = true
	l.number++
	l.mu.Unlock()
	l.cut()
}

// Up starts it again after Down. For a moment it answers some requests with Forbidden.
func (l *life) Up() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		l.down, l.since = false, time.Now()
	}
}

// Freeze stops the API server where it stands: requests and watches hang. What clients
// have sent and given up on may be done after the Thaw.
func (l *life) Freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen != nil || l.down {
		return
	}
	frozen := make(chan struct{})
	l.frozen = frozen
	time.AfterFunc(silence, func() {
		l.mu.Lock()
		lost := l.frozen == frozen
		l.mu.Unlock()
		if lost {
			l.cut()
		}
	})
}

// Thaw ends a Freeze.
func (l *life) Thaw() {
	l.mu.Lock()
	parked := l.parked
	l.parked = nil
	if l.frozen != nil {
		close(l.frozen)
		l.frozen = nil
	}
	l.mu.Unlock()
	for _, do := range parked {
		do()
	}
}

// current is the number of this life; false: it is down.
func (l *life) current() (number int, up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.number, !l.down
}

// young says that the API server has just started.
func (l *life) young() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.since.IsZero() && time.Since(l.since) < youth
}

// thawed waits until the API server is not frozen; false: ctx ended, or the connection
// was given up.
func (l *life) thawed(ctx context.Context) bool {
	frozen := l.stopped()
	return frozen == nil || await(ctx, frozen)
}

// land carries a request out whose client has gone, unless the API server that got it has
// ended: now, or at the Thaw.
func (l *life) land(number int, do func()) {
	l.mu.Lock()
	lost := l.down || l.number != number
	if !lost && l.frozen != nil {
		l.parked = append(l.parked, do)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	if !lost {
		do()
	}
}

// await waits for c to be closed, as long as a silent connection is kept; false: it was
// not.
func await(ctx context.Context, c <-chan struct{}) bool {
	t := time.NewTimer(silence)
	defer t.Stop()
	select {
	case <-c:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// sleep waits; false: ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// stopped is closed by the Thaw; nil: it is not frozen.
func (l *life) stopped() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frozen
}
