package apiserver

import (
	"math/rand/v2"
	"time"
)

// Spread is a span of time that is drawn anew each time: evenly between Min and Max.
type Spread struct{ Min, Max time.Duration }

func (s Spread) draw(r *rand.Rand) time.Duration {
	if s.Max <= s.Min {
		return s.Min
	}
	return s.Min + time.Duration(r.Int64N(int64(s.Max-s.Min)+1))
}

// Conditions are how a Link is at a time. All chances are between 0 and 1. The zero value
// is a link that takes no time and loses nothing.
type Conditions struct {
	Latency Spread // of a request, and again of its answer
	Lag     Spread // of a watch's event behind its commit
	// Stale is how old a list of resourceVersion "0" may be: as an API server's watch
	// cache may be. At most 75 s count.
	Stale time.Duration

	LoseRequest float64 // of a request: it is not done, and there is no answer
	LoseAnswer  float64 // of a request: it is done, and there is no answer
	LateWrite   float64 // of a write: the client is told of a timeout at once, and it is done up to 60 s later
	Busy        float64 // of a request: 429, which the client tries again after 1 s, up to ten times
	Unavailable float64 // of a request: 503
	CutWatch    float64 // of an event: the watch ends before it
	Expire      float64 // of a watch that begins anew: 410 Gone, so that the client lists again
}

// Healthy are the conditions of a good network.
func Healthy() Conditions {
	return Conditions{
		Latency: Spread{Min: time.Millisecond, Max: 5 * time.Millisecond},
		Lag:     Spread{Min: time.Millisecond, Max: 50 * time.Millisecond},
		Stale:   100 * time.Millisecond,
	}
}

// traffic is a kind of request.
type traffic uint8

const (
	reading traffic = iota
	writing
	renewing // a write of the lease: it is no effect that a crash is counted by
)

// outcome is what the network and the server make of a request.
type outcome uint8

const (
	answered outcome = iota
	requestLost
	answerLost
	late        // done later, with a timeout now
	busy        // 429
	unavailable // 503
)

// RequestTimeout is how long an API server works on a request: k8s.io/apiserver v0.37.2,
// pkg/server/config.go (RequestTimeout).
const RequestTimeout = 60 * time.Second

// fate is what becomes of one request.
type fate struct {
	outcome     outcome
	there, back time.Duration
	breaks      bool          // what is lost is lost with its connection, so that the client hears of it at once
	lands       bool          // what the client gives up while it is under way is done all the same
	late        time.Duration // how much later the late one is done
}

// fate draws what becomes of a request.
func (l *Link) fate(t traffic) fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, r := l.now, l.random
	f := fate{there: c.Latency.draw(r), back: c.Latency.draw(r)}
	draw := r.Uint64()
	f.breaks, f.lands = draw&1 == 0, draw&2 == 0
	for _, x := range [...]struct {
		outcome outcome
		chance  float64
	}{
		{requestLost, c.LoseRequest}, {answerLost, c.LoseAnswer}, {late, c.LateWrite}, {busy, c.Busy}, {unavailable, c.Unavailable},
	} {
		if x.chance > 0 && (x.outcome != late || t != reading) && r.Float64() < x.chance {
			f.outcome = x.outcome
			break
		}
	}
	if f.outcome == late {
		f.late = time.Duration(r.Int64N(int64(RequestTimeout)))
	}
	return f
}

// lag draws how far an event is behind.
func (l *Link) lag() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now.Lag.draw(l.random)
}

// staleness draws how old a list is.
func (l *Link) staleness() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return min(historyWindow, Spread{Max: l.now.Stale}.draw(l.random))
}
