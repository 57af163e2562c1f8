package allocator

import (
	"sync"
	"time"

	"slotwise.dev/slotwise/allocator/ledger"
)

const (
	quiet    = time.Second      // without pods coming or going anywhere, before pools are warmed or trimmed
	patience = 10 * time.Second // the longest that this puts off a node whose pool is to be tended to
)

// pace is how fast pods come to the nodes, and go. All nodes share it: a burst
// that is over for one of them, because it is full, goes on for the others.
type pace struct {
	mu     sync.Mutex
	last   time.Time // when a pod came or went last
	second time.Time // the second that is being counted
	came   [2]int    // pods in that second, and in the one before
}

// note counts pods that came, or went where there are less than none.
func (p *pace) note(now time.Time, pods int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = now
	p.turn(now)
	p.came[0] += max(0, pods)
}

// turn begins a new second when one is over.
func (p *pace) turn(now time.Time) {
	switch past := now.Sub(p.second); {
	case past >= 2*time.Second:
		p.second, p.came = now, [2]int{}
	case past >= time.Second:
		p.second, p.came = p.second.Add(time.Second), [2]int{0, p.came[0]}
	}
}

// recent is how many pods came within about a second.
func (p *pace) recent(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn(now)
	return max(p.came[0], p.came[1])
}

// calm is when a node whose use has changed since the given time may tend to its
// pool: when pods have neither come nor gone for a while, but not as late as never.
func (p *pace) calm(since time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return earlier(p.last.Add(quiet), since.Add(patience))
}

// ahead is the function of this name, with the pace and what is free on all nodes.
// These are not counted where it makes no difference: a burst plans often.
func (a *Allocator) ahead(k ledger.Kind, available int) int {
	recent := a.pace.recent(time.Now())
	if recent < k.Addresses() || available <= tight {
		return 0
	}
	return ahead(k, recent, a.free(), available)
}

// ahead is how many blocks a call for waiting pods takes beyond their need: in a
// burst it takes what came in the last second, unless that is free on other nodes,
// so that the pods that follow need no call of their own. What is not used after all
// is given back. Where the subnet is tight, others may need it more.
func ahead(k ledger.Kind, recent, free, available int) int {
	return max(0, min((recent-free)/k.Addresses(), available-tight))
}
