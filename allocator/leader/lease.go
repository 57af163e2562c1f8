// Package leader is how replicas agree on one of them: the lease that each write asks,
// and the label by which the extender's Service finds its holder.
package leader

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Lease is the lock of the leader election, and knows how long it still holds.
// The election notices that a lease is lost only when it gets to run; a process
// that was frozen may first get to run a bind. So each bind asks the Lease.
type Lease struct {
	resourcelock.Interface
	holder  string        // as read last, by the election's own goroutine
	lasts   time.Duration // how long after a renewal its holder may act
	every   time.Duration // it is to be renewed
	renewed atomic.Pointer[time.Time]
}

// NewLease wraps a lock. lasts must be less than the lease's duration: it is
// the election's renew deadline. every is its retry period.
func NewLease(lock resourcelock.Interface, lasts, every time.Duration) *Lease {
	return &Lease{Interface: lock, lasts: lasts, every: every}
}

// errTaken is why a lease is not released.
var errTaken = errors.New("another replica has taken the lease")

// Get reads who has the lease.
func (l *Lease) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	r, raw, err := l.Interface.Get(ctx)
	if err == nil {
		l.holder = r.HolderIdentity
	}
	return r, raw, err
}

// Create takes a lease that nobody had.
func (l *Lease) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return l.note(r, func() error { return l.Interface.Create(ctx, r) })
}

// Update takes, renews or releases the lease. Another's is not released: client-go reads
// the lease before, and writes over what it has read, as long as it believes to lead
// (v0.37: tools/leaderelection/leaderelection.go tryRelease). A leader that was frozen for
// longer than its lease would so make room for a third one beside its successor.
func (l *Lease) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	if releases := r.HolderIdentity == ""; releases && l.holder != "" && l.holder != l.Identity() {
		l.renewed.Store(nil)
		return errTaken
	}
	return l.note(r, func() error { return l.Interface.Update(ctx, r) })
}

// note remembers when the lease was last written in this process's name. The
// time is from before the request: the lease may have begun to run then.
func (l *Lease) note(r resourcelock.LeaderElectionRecord, write func() error) error {
	asked := time.Now()
	if err := write(); err != nil {
		return err
	}
	if r.HolderIdentity == l.Identity() {
		l.renewed.Store(&asked)
	} else {
		l.renewed.Store(nil)
	}
	return nil
}

// Held says that nobody else can have the lease at this moment.
func (l *Lease) Held() bool { return l.Left() > 0 }

// Left is for how long it is sure that nobody else can have the lease.
func (l *Lease) Left() time.Duration {
	t := l.renewed.Load()
	if t == nil {
		return 0
	}
	return max(0, l.lasts-time.Since(*t))
}

// Late says that the lease was to be renewed a while ago, and is not: the API server is
// slow, or this process is.
func (l *Lease) Late() bool {
	t := l.renewed.Load()
	return t != nil && time.Since(*t) > 2*l.every
}
