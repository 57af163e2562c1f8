package leader

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

var errAPI = errors.New("the API server does not answer")

// lock is a lease in the API server.
type lock struct {
	resourcelock.Interface
	takes time.Duration // for each write
	err   error         // of the next writes
}

func (l *lock) Identity() string { return "me" }

func (l *lock) Create(context.Context, resourcelock.LeaderElectionRecord) error {
	time.Sleep(l.takes)
	return l.err
}

func (l *lock) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return l.Create(ctx, r)
}

// lasts is for how long a lease holds in these tests.
const lasts = 10 * time.Second

func TestHeld(t *testing.T) {
	mine := resourcelock.LeaderElectionRecord{HolderIdentity: "me"}
	for name, c := range map[string]struct {
		do   func(ctx context.Context, l *Lease, under *lock) error
		wait time.Duration
		want bool
	}{
		"never taken": {
			do: func(context.Context, *Lease, *lock) error { return nil },
		},
		"created a moment ago": {
			do:   func(ctx context.Context, l *Lease, _ *lock) error { return l.Create(ctx, mine) },
			want: true,
		},
		"renewed a while ago": {
			do:   func(ctx context.Context, l *Lease, _ *lock) error { return l.Update(ctx, mine) },
			wait: lasts - time.Nanosecond, want: true,
		},
		"run out": {
			do:   func(ctx context.Context, l *Lease, _ *lock) error { return l.Update(ctx, mine) },
			wait: lasts,
		},
		"it runs from before the request": {
			do: func(ctx context.Context, l *Lease, under *lock) error {
				under.takes = 3 * time.Second
				return l.Update(ctx, mine)
			},
			wait: lasts - 3*time.Second,
		},
		"renewed in time": {
			do: func(ctx context.Context, l *Lease, _ *lock) error {
				if err := l.Create(ctx, mine); err != nil {
					return err
				}
				time.Sleep(6 * time.Second)
				return l.Update(ctx, mine)
			},
			wait: 9 * time.Second, want: true,
		},
		"a renewal that failed is none": {
			do: func(ctx context.Context, l *Lease, under *lock) error {
				if err := l.Create(ctx, mine); err != nil {
					return err
				}
				time.Sleep(6 * time.Second)
				under.err = errAPI
				if err := l.Update(ctx, mine); !errors.Is(err, errAPI) {
					return errors.New("the failure is hidden")
				}
				if !l.Held() {
					return errors.New("it does not hold until it has run out")
				}
				return nil
			},
			wait: 4 * time.Second,
		},
		"a lease that could not be taken": {
			do: func(ctx context.Context, l *Lease, under *lock) error {
				under.err = errAPI
				if err := l.Create(ctx, mine); !errors.Is(err, errAPI) {
					return errors.New("the failure is hidden")
				}
				return nil
			},
		},
		"released": {
			do: func(ctx context.Context, l *Lease, _ *lock) error {
				return errors.Join(l.Create(ctx, mine), l.Update(ctx, resourcelock.LeaderElectionRecord{}))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				under := &lock{}
				l := NewLease(under, lasts)
				if err := c.do(t.Context(), l, under); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.wait)
				if l.Held() != c.want {
					t.Errorf("held: %t, want %t", !c.want, c.want)
				}
			})
		})
	}
}
