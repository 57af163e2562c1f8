package leader

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

var errAPI = errors.New("the API server does not answer")

// lock is a lease in the API server.
type lock struct {
	resourcelock.Interface
	holder string        // as it is read
	writes []string      // holders that were written
	takes  time.Duration // for each write
	err    error         // of the next writes
}

func (l *lock) Identity() string { return "me" }

func (l *lock) Describe() string { return "the lease" }

func (l *lock) RecordEvent(string) {}

func (l *lock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	return &resourcelock.LeaderElectionRecord{HolderIdentity: l.holder, LeaseDurationSeconds: 15}, []byte(l.holder), nil
}

func (l *lock) Create(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	if l.err == nil {
		l.writes, l.holder = append(l.writes, r.HolderIdentity), r.HolderIdentity
	}
	time.Sleep(l.takes)
	return l.err
}

func (l *lock) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return l.Create(ctx, r)
}

// lasts is for how long a lease holds in these tests.
const lasts = 10 * time.Second

// retry is how often it is renewed.
const retry = 2 * time.Second

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
				l := NewLease(under, lasts, retry)
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

// I3: a leader that was frozen must not give away the lease of its successor, or a third
// replica takes it while that one leads. This is client-go's own election.
func TestI3ReleaseOnlyOnesOwn(t *testing.T) {
	for name, c := range map[string]struct {
		successor bool
		want      []string
	}{
		"it has the lease":     {want: []string{"me", ""}},
		"another has taken it": {successor: true, want: []string{"me"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				under := &lock{}
				ctx, cancel := context.WithCancel(t.Context())
				leads := func(context.Context) {
					if c.successor {
						under.holder = "other"
					}
					cancel()
				}
				election, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
					Lock: NewLease(under, lasts, retry), LeaseDuration: 15 * time.Second, RenewDeadline: lasts, RetryPeriod: retry,
					ReleaseOnCancel: true,
					Callbacks:       leaderelection.LeaderCallbacks{OnStartedLeading: leads, OnStoppedLeading: func() {}},
				})
				if err != nil {
					t.Fatal(err)
				}
				election.Run(ctx)
				if !slices.Equal(slices.Compact(under.writes), c.want) {
					t.Errorf("the holders written are %q, want %q", under.writes, c.want)
				}
			})
		})
	}
}

// TestLate: a lease is late once it was to be renewed and is not, and no longer late then.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLease(&lock{}, lasts, retry)
		mine := resourcelock.LeaderElectionRecord{HolderIdentity: "me"}
		for _, step := range []struct {
			do   func() error
			wait time.Duration
			want bool
		}{
			{do: func() error { return nil }, wait: time.Minute, want: false}, // who does not lead is not late
			{do: func() error { return l.Create(t.Context(), mine) }, wait: 2 * retry, want: false},
			{do: func() error { return nil }, wait: 1, want: true},
			{do: func() error { return l.Update(t.Context(), mine) }, wait: retry, want: false},
		} {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(step.wait)
			if got := l.Late(); got != step.want {
				t.Errorf("Late() = %t %s after, want %t", got, step.wait, step.want)
			}
		}
	})
}
