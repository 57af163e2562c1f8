package pods

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// lateWrite is how long a request whose answer was lost may still be carried out. The
// API server gives up after 60 s.
const lateWrite = 70 * time.Second

// Why a call of Bind is not posted.
var (
	// ErrOvertaken: its attempt is over.
	ErrOvertaken = errors.New("another attempt to bind the pod has ended this one")
	// ErrHeld: the address is another pod's, or may be: another client of EC2 has taken
	// it from the interface, and EC2 has given it to another one.
	ErrHeld = errors.New("another pod has the address")
)

// Attempt is a pod that is being bound on one node. It lasts until the watch shows the
// pod bound there, or it is certain that it never will be, and over all calls of Bind
// for the pod on that node. The index's lock guards it.
type Attempt struct {
	Pod types.NamespacedName
	UID types.UID

	index   *Index
	home    Home
	calls   int          // of Bind so far; the latest is the one that counts
	address netip.Prefix // as it is posted; invalid before, and where another allocator gives it
	posts   int          // requests to the API server so far
	open    int          // of these, those under way
	since   time.Time    // when it last made progress
	lost    time.Time    // when the answer to a post was lost; zero: never
}

// Begin notes a call of Bind: it begins an attempt, or goes on with that of an earlier
// call. The number is the call's own.
func (g Group) Begin(pod types.NamespacedName, uid types.UID, now time.Time) (a *Attempt, call int) {
	x := g.index
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.pods[uid]
	if e == nil {
		e = &entry{state: Binding}
		x.pods[uid] = e
	}
	if a = e.attemptAt(g.home); a == nil {
		a = &Attempt{Pod: pod, UID: uid, index: x, home: g.home}
		x.groupLocked(g.home).attempts[uid] = a
	}
	e.attempts = append(slices.DeleteFunc(e.attempts, func(b *Attempt) bool { return a == b }), a)
	a.calls++
	a.since = now
	return a, a.calls
}

// Attempt finds the attempt to bind a pod at the home.
func (g Group) Attempt(pod types.UID) *Attempt {
	g.index.mu.Lock()
	defer g.index.mu.Unlock()
	if e := g.index.pods[pod]; e != nil {
		return e.attemptAt(g.home)
	}
	return nil
}

// EndAttempt forgets the attempt to bind a pod at the home.
func (g Group) EndAttempt(pod types.UID) {
	g.index.mu.Lock()
	defer g.index.mu.Unlock()
	g.index.endAttemptLocked(pod, g.home)
}

// EndAttempts forgets all attempts at the home.
func (g Group) EndAttempts() {
	x := g.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if all := x.groups[g.home]; all != nil {
		for uid := range maps.Clone(all.attempts) {
			x.endAttemptLocked(uid, g.home)
		}
	}
}

// Overdue lists the attempts at the home that were posted and have made no progress
// since the given time.
func (g Group) Overdue(since time.Time) (late []*Attempt) {
	g.index.mu.Lock()
	defer g.index.mu.Unlock()
	if x := g.index.groups[g.home]; x != nil {
		for _, a := range x.attempts {
			if a.posts > 0 && a.open == 0 && a.since.Before(since) {
				late = append(late, a)
			}
		}
	}
	return late
}

// endAttemptLocked forgets an attempt. Caller holds x.mu.
func (x *Index) endAttemptLocked(pod types.UID, home Home) {
	e := x.pods[pod]
	if e == nil {
		return
	}
	e.attempts = slices.DeleteFunc(e.attempts, func(a *Attempt) bool { return a.home == home })
	if g := x.groups[home]; g != nil {
		if a := g.attempts[pod]; a != nil && x.posted[a.address.Addr()] == a {
			delete(x.posted, a.address.Addr())
		}
		delete(g.attempts, pod)
		x.trimLocked(home, g)
	}
	x.dropLocked(pod, e)
}

func (e *entry) attemptAt(home Home) *Attempt {
	for _, a := range e.attempts {
		if a.home == home {
			return a
		}
	}
	return nil
}

// Home is where the pod is being bound.
func (a *Attempt) Home() Home { return a.home }

// Current says that the attempt has not ended.
func (a *Attempt) Current() bool {
	a.index.mu.Lock()
	defer a.index.mu.Unlock()
	return a.currentLocked()
}

func (a *Attempt) currentLocked() bool {
	e := a.index.pods[a.UID]
	return e != nil && e.attemptAt(a.home) == a
}

// Unposted says that the attempt is that of the given call still, and that nothing was
// posted: the pod is certainly not bound by it.
func (a *Attempt) Unposted(call int) bool {
	a.index.mu.Lock()
	defer a.index.mu.Unlock()
	return a.currentLocked() && a.calls == call && a.posts == 0
}

// Post notes that a request with an address is about to be made: ErrOvertaken, ErrHeld
// where it must not be.
func (a *Attempt) Post(address netip.Prefix, now time.Time) error {
	x := a.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if !a.currentLocked() {
		return ErrOvertaken
	}
	if address.IsValid() {
		if x.heldByAnotherLocked(address.Addr(), a.UID) {
			return ErrHeld
		}
		x.posted[address.Addr()] = a
	}
	a.address, a.since = address, now
	a.posts++
	a.open++
	return nil
}

// Posted notes that a request is over; lost says that nobody knows whether it was, or
// yet will be, carried out.
func (a *Attempt) Posted(lost bool, now time.Time) {
	a.index.mu.Lock()
	defer a.index.mu.Unlock()
	a.open--
	a.since = now
	if lost {
		a.lost = now
	}
}

// Progress notes that the attempt goes on: the API server has the pod bound, and the
// watch is yet to show it.
func (a *Attempt) Progress(now time.Time) {
	a.index.mu.Lock()
	defer a.index.mu.Unlock()
	a.since = now
}

// Posts is how many requests were made so far, and whether one of them may yet be
// carried out.
func (a *Attempt) Posts(now time.Time) (posts int, inDoubt bool) {
	a.index.mu.Lock()
	defer a.index.mu.Unlock()
	return a.posts, a.open > 0 || now.Sub(a.lost) < lateWrite
}
