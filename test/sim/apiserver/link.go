package apiserver

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Gate is what a process passes on its way out and in; see test/sim/process. Where it is
// frozen it waits; where it has crashed it returns an error.
type Gate interface {
	// Enter is passed before a request is sent; effect says that the request changes
	// something. waited says that the process was frozen.
	Enter(effect bool) (waited bool, err error)
	// Leave is passed before an answer or a watch's event reaches the process.
	Leave() error
}

// LinkOptions are what a Link is made of.
type LinkOptions struct {
	Name       string // who is at the other end, for Event.By
	Seed       uint64 // of all that is drawn
	Gate       Gate   // of the process at the other end; nil: it never stops
	Conditions Conditions
}

// Link is the network between one process and the API server. It is safe for concurrent
// use.
type Link struct {
	name string
	gate Gate

	mu      sync.Mutex
	random  *rand.Rand
	now     Conditions
	healed  chan struct{} // closed by Heal; nil: there is no partition
	watches map[*watcher]bool
}

// NewLink makes a Link.
func NewLink(o LinkOptions) *Link {
	return &Link{
		name: o.Name, gate: o.Gate, now: o.Conditions,
		random: rand.New(rand.NewPCG(o.Seed, 0)), watches: map[*watcher]bool{},
	}
}

// Set changes the conditions from now on.
func (l *Link) Set(c Conditions) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = c
}

// Conditions are those that were set last.
func (l *Link) Conditions() Conditions {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// Cut ends all watches of the link.
func (l *Link) Cut() {
	l.mu.Lock()
	watches := l.watches
	l.watches = map[*watcher]bool{}
	l.mu.Unlock()
	for w := range watches {
		w.Stop()
	}
}

// Partition lets nothing through in either direction until Heal. Watches that it lasts too
// long for are given up.
func (l *Link) Partition() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.healed != nil {
		return
	}
	healed := make(chan struct{})
	l.healed = healed
	time.AfterFunc(silence, func() {
		l.mu.Lock()
		lost := l.healed == healed
		l.mu.Unlock()
		if lost {
			l.Cut()
		}
	})
}

// Heal ends a Partition.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.healed != nil {
		close(l.healed)
		l.healed = nil
	}
}

// partition is closed by Heal; nil: there is none.
func (l *Link) partition() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.healed
}

// chance is true with a probability.
func (l *Link) chance(p float64) bool {
	if p <= 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.random.Float64() < p
}

// enter passes the gate on the way out.
func (l *Link) enter(effect bool) (waited bool, err error) {
	if l.gate == nil {
		return false, nil
	}
	return l.gate.Enter(effect)
}

// leave passes the gate on the way in.
func (l *Link) leave() error {
	if l.gate == nil {
		return nil
	}
	return l.gate.Leave()
}

func (l *Link) keep(w *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watches[w] = true
}

func (l *Link) drop(w *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.watches, w)
}
