package node

import (
	"math/rand/v2"
	"time"
)

// The pauses of what is tried again. Each grows to twice its length with every failure
// up to a limit, and is as short as at first once the cause is gone.
var (
	// An action of EC2 that was throttled, or whose answer was lost.
	unansweredPause = pause{first: 500 * time.Millisecond, last: 30 * time.Second}
	// An action that EC2 refuses on an interface.
	refusedPause = pause{first: 10 * time.Second, last: 5 * time.Minute}
	// A describe of an interface that is in doubt.
	lookPause = pause{first: 2 * time.Second, last: time.Minute}
	// The discovery of a node while EC2 does not answer: that ends for all at once.
	silencePause = pause{first: time.Second, last: 15 * time.Second}
	// The discovery of a node for another reason.
	discoveryPause = pause{first: time.Second, last: 5 * time.Minute}
	// A block of a live pod that another client takes again and again.
	restorePause = pause{first: 2 * time.Second, last: 5 * time.Minute}
)

// pause is how long to wait before something is tried again.
type pause struct{ first, last time.Duration }

// after is the pause that follows another one; zero: there was none yet.
func (p pause) after(before time.Duration) time.Duration {
	return min(max(2*before, p.first), p.last)
}

// jitter keeps nodes that failed together from trying again together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
