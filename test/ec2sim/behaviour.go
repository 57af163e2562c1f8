package ec2sim

import (
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// AnyAction stands, where a setting goes by action, for every action that has
// no setting of its own.
const AnyAction = ""

// Latency is how long a call takes. The change, or the look, is made in the
// middle of it.
type Latency struct {
	Mean   time.Duration
	Jitter time.Duration // uniform: between Mean-Jitter and Mean+Jitter
}

// LeastLatency is how long every call takes at least. The SDK drops the body of
// a request as soon as it has the head of the answer; where that overtakes
// net/http, which still looks for the end of that body, the connection is closed
// under a long answer ("use of closed network connection", about once in 3,000
// calls without any latency). EC2 is never that fast, and so this is not either.
const LeastLatency = time.Millisecond

// Bucket is the token bucket of an action. A call that finds it empty is
// refused at once with RequestLimitExceeded.
type Bucket struct {
	Burst     int
	PerSecond float64
}

// AWSThrottling is EC2's documented default for the actions here: mutating ones
// 50 burst and 5 a second, reading ones (filtered or paged) 100 and 20
// (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html).
func AWSThrottling() map[string]Bucket {
	return map[string]Bucket{
		AnyAction:                    {Burst: 100, PerSecond: 20},
		"AssignPrivateIpAddresses":   {Burst: 50, PerSecond: 5},
		"UnassignPrivateIpAddresses": {Burst: 50, PerSecond: 5},
	}
}

// behaviour is how EC2 serves, apart from what it has: its latency, its
// throttling, its staleness and its faults. Everything can change at any time.
type behaviour struct {
	mu       sync.Mutex
	random   *rand.Rand
	latency  map[string]Latency
	buckets  map[string]Bucket
	limiters map[string]*rate.Limiter // by the action itself
	lag      time.Duration            // at the most
	leastLag time.Duration
	pageSize int
	faults   []*injected
}

func newBehaviour(o Options) *behaviour {
	b := &behaviour{
		random:   rand.New(rand.NewPCG(o.Seed, 0)),
		latency:  map[string]Latency{},
		pageSize: o.PageSize,
	}
	maps.Copy(b.latency, o.Latency)
	b.setThrottle(o.Throttle)
	b.setLag(o.Lag, o.Lag)
	return b
}

func (b *behaviour) setLag(least, most time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lag = min(most, MaxLag)
	b.leastLag = min(least, b.lag)
}

func (b *behaviour) setLatency(action string, l Latency) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.latency[action] = l
}

// setThrottle fills the buckets anew.
func (b *behaviour) setThrottle(buckets map[string]Bucket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buckets = maps.Clone(buckets)
	b.limiters = map[string]*rate.Limiter{}
}

// takes draws how long a call takes.
func (b *behaviour) takes(action string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.latency[action]
	if !ok {
		l = b.latency[AnyAction]
	}
	if l.Jitter > 0 {
		l.Mean += time.Duration(b.random.Int64N(int64(2*l.Jitter)+1)) - l.Jitter
	}
	return max(LeastLatency, l.Mean)
}

// admits takes a token out of the action's bucket, if it has one.
func (b *behaviour) admits(action string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	bucket, throttled := b.buckets[action]
	if !throttled {
		bucket, throttled = b.buckets[AnyAction]
	}
	if !throttled {
		return true
	}
	if b.limiters[action] == nil {
		b.limiters[action] = rate.NewLimiter(rate.Limit(bucket.PerSecond), bucket.Burst)
	}
	return b.limiters[action].Allow()
}

// reads says what reading calls have to know.
func (b *behaviour) reads(call int) conditions {
	b.mu.Lock()
	defer b.mu.Unlock()
	lag := b.lag
	if b.leastLag < lag {
		lag = b.leastLag + time.Duration(b.random.Int64N(int64(lag-b.leastLag)+1))
	}
	return conditions{call: call, asOf: time.Now().Add(-lag), page: b.pageSize}
}
