package node

import (
	"sync"
	"time"

	"slotwise.dev/slotwise/allocator/budget"
	"slotwise.dev/slotwise/allocator/ledger"
)

const (
	settleDelay  = time.Second      // without pods coming or going anywhere, before pools are warmed or trimmed
	maximumDelay = 10 * time.Second // the longest that this puts off a node whose pool is to be tended to
)

// Arrivals is how fast pods come to the nodes, and go. All nodes share it: a burst that
// is over for one of them, because it is full, goes on for the others.
type Arrivals struct {
	mu     sync.Mutex
	last   time.Time // when a pod came or went last
	second time.Time // the second that is being counted
	came   [2]int    // pods in that second, and in the one before
}

// note counts pods that came, or went where there are less than none.
func (a *Arrivals) note(now time.Time, pods int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = now
	a.turnLocked(now)
	a.came[0] += max(0, pods)
}

// turnLocked begins a new second when one is over. Caller holds a.mu.
func (a *Arrivals) turnLocked(now time.Time) {
	switch past := now.Sub(a.second); {
	case past >= 2*time.Second:
		a.second, a.came = now, [2]int{}
	case past >= time.Second:
		a.second, a.came = a.second.Add(time.Second), [2]int{0, a.came[0]}
	}
}

// rate is how many pods came within about a second.
func (a *Arrivals) rate(now time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turnLocked(now)
	return max(a.came[0], a.came[1])
}

// settled is when a node whose use has changed since the given time may tend to its
// pool: when pods have neither come nor gone for a while, but not as late as never.
func (a *Arrivals) settled(since time.Time) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return earlier(a.last.Add(settleDelay), since.Add(maximumDelay))
}

// burst is what a call for waiting pods may take beyond their need.
type burst struct {
	rate int // pods that came within about a second
	free int // addresses that all nodes can give now, or as soon as their calls in flight are done
}

// burst looks at the pods that come. What is free on all nodes is counted only where it
// makes a difference: a burst plans often.
func (a *Arrivals) burst(now time.Time, k ledger.Kind, free func() int) burst {
	b := burst{rate: a.rate(now)}
	if b.rate >= k.Addresses() {
		b.free = free()
	}
	return b
}

// blocks is how many blocks that is: what came in the last second, unless it is free on
// other nodes, so that the pods that follow need no call of their own. What is not used
// after all is given back. Where the subnet has little, others may need it more.
func (b burst) blocks(k ledger.Kind, available int) int {
	if b.rate < k.Addresses() {
		return 0
	}
	return max(0, min((b.rate-b.free)/k.Addresses(), available-budget.NotifyBelow))
}
