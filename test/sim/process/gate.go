package process

import (
	"errors"
	"sync"
	"time"
)

// ErrCrashed is what every port of a crashed process returns.
var ErrCrashed = errors.New("the process has crashed")

// never is no number of effects.
const never = -1

// Gate is what each port of a process passes at its entry, before the effect, and at its
// exit, after the effect and before the answer. It waits there while the process is
// frozen, and returns ErrCrashed once it has crashed. It is safe for concurrent use.
type Gate struct {
	crashed chan struct{} // closed by the crash
	onCrash func()

	mu       sync.Mutex
	dead     bool
	frozen   chan struct{} // closed by the thaw or the crash; nil: it runs
	effects  int           // that were let begin
	crashAt  int           // the count of effects at which the next one crashes it, or never
	freezeAt int           // as crashAt, for a freeze
	lasts    time.Duration // how long that one does
}

// NewGate makes the Gate of a process that runs. onCrash is called once; it may be nil.
func NewGate(onCrash func()) *Gate {
	return &Gate{crashed: make(chan struct{}), onCrash: onCrash, crashAt: never, freezeAt: never}
}

// Enter is passed before a request is sent. effect says that it changes something outside
// of the process; those are counted. waited says that the process was frozen meanwhile,
// so that its timers may not have run yet.
func (g *Gate) Enter(effect bool) (waited bool, err error) {
	for {
		frozen, crashes, err := g.admit(effect)
		switch {
		case crashes:
			g.Crash()
			return waited, ErrCrashed
		case err != nil:
			return waited, err
		case frozen == nil:
			return waited, nil
		}
		waited = true
		<-frozen
	}
}

// admit lets one through, and counts it, unless the process is frozen or down, or is to
// be from here on.
func (g *Gate) admit(effect bool) (frozen <-chan struct{}, crashes bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.dead:
		return nil, false, ErrCrashed
	case g.frozen != nil:
		return g.frozen, false, nil
	case !effect:
		return nil, false, nil
	case g.effects == g.crashAt:
		return nil, true, nil
	case g.effects == g.freezeAt:
		g.freezeAt = never
		g.freezeLocked()
		time.AfterFunc(g.lasts, g.Thaw)
		return g.frozen, false, nil
	}
	g.effects++
	return nil, false, nil
}

// Leave is passed before an answer reaches the process.
func (g *Gate) Leave() error {
	_, err := g.Enter(false)
	return err
}

// Freeze stops the process where it stands, until Thaw. It is the one that FreezeAt has
// announced, if that has not come yet.
func (g *Gate) Freeze() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.freezeAt = never
	g.freezeLocked()
}

// freezeLocked freezes the process. Caller holds g.mu.
func (g *Gate) freezeLocked() {
	if g.frozen == nil && !g.dead {
		g.frozen = make(chan struct{})
	}
}

// Thaw lets it go on.
func (g *Gate) Thaw() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.thawLocked()
}

// thawLocked ends a freeze. Caller holds g.mu.
func (g *Gate) thawLocked() {
	if g.frozen != nil {
		close(g.frozen)
		g.frozen = nil
	}
}

// FreezeAt freezes the process for d once n more effects were let begin and the next one
// is about to: after a look at the lease, say, and before what was to follow it.
func (g *Gate) FreezeAt(n int, d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.freezeAt, g.lasts = g.effects+n, d
}

// Crash ends the process: nothing is sent any more. What is under way may still be done.
func (g *Gate) Crash() {
	g.mu.Lock()
	first := !g.dead
	g.dead = true
	g.thawLocked()
	g.mu.Unlock()
	if !first {
		return
	}
	close(g.crashed)
	if g.onCrash != nil {
		g.onCrash()
	}
}

// CrashAt crashes the process between the n-th effect from now on and the one after it:
// when that is about to begin, which then does not happen.
func (g *Gate) CrashAt(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.crashAt = g.effects + n
}

// Effects counts the effects that were let begin.
func (g *Gate) Effects() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.effects
}

// Frozen says that the process is frozen.
func (g *Gate) Frozen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.frozen != nil
}

// Crashed is closed by the crash.
func (g *Gate) Crashed() <-chan struct{} { return g.crashed }
