package cloud

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"slotwise.dev/slotwise/allocator/ledger"
)

func urgencyOf(p ledger.Purpose) *Urgency {
	u := &Urgency{}
	u.Set(p)
	return u
}

// queue lines waiters up at an empty bucket, and notes the order in which they
// get their tokens.
type queue struct {
	*bucket
	mu     sync.Mutex
	served []string
}

func emptyBucket(perSecond float64) *queue {
	q := &queue{bucket: newBucket(Bucket{Burst: 1, PerSecond: perSecond})}
	_ = q.take(context.Background(), forRead())
	return q
}

// add lines one more waiter up.
func (q *queue) add(ctx context.Context, name string, urgency *Urgency) {
	go func() {
		if q.take(ctx, urgency) != nil {
			return
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		q.served = append(q.served, name)
	}()
	synctest.Wait()
}

// after lets time pass, and lists who was served so far.
func (q *queue) after(d time.Duration) []string {
	time.Sleep(d)
	synctest.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.served)
}

func TestBucketRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(Bucket{Burst: 50, PerSecond: 5})
		start := time.Now()
		for range 60 {
			if err := b.take(t.Context(), forRead()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start).Round(time.Millisecond); took != 2*time.Second {
			t.Errorf("50 at once and 10 more at 5 a second took %v, want 2s", took)
		}
	})
}

func TestBucketServesTheMostUrgentFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := emptyBucket(1)
		q.add(t.Context(), "release", urgencyOf(ledger.Release))
		q.add(t.Context(), "warming", urgencyOf(ledger.Warming))
		q.add(t.Context(), "pods 1", urgencyOf(ledger.Waiting))
		q.add(t.Context(), "pods 2", urgencyOf(ledger.Waiting))
		want := []string{"pods 1", "pods 2", "warming", "release"}
		if got := q.after(4 * time.Second); !slices.Equal(got, want) {
			t.Errorf("served %v, want %v", got, want)
		}
	})
}

func TestBucketReadsUrgencyWhenTheTokenIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := emptyBucket(1)
		changes := urgencyOf(ledger.Release)
		q.add(t.Context(), "warming", urgencyOf(ledger.Warming))
		q.add(t.Context(), "changed its mind", changes)
		changes.Set(ledger.Waiting)
		if got, want := q.after(time.Second), []string{"changed its mind"}; !slices.Equal(got, want) {
			t.Errorf("served %v, want %v", got, want)
		}
	})
}

func TestBucketStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := emptyBucket(1)
		q.add(t.Context(), "release", urgencyOf(ledger.Release))
		for range 3 * fairShare {
			q.add(t.Context(), "pods", urgencyOf(ledger.Waiting))
		}
		got := q.after(2 * fairShare * time.Second)
		if i := slices.Index(got, "release"); i != fairShare-1 {
			t.Errorf("release got token number %d, want %d", i+1, fairShare)
		}
	})
}

func TestBucketForgetsWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := emptyBucket(1)
		ctx, leave := context.WithCancel(t.Context())
		q.add(ctx, "impatient", urgencyOf(ledger.Waiting))
		q.add(t.Context(), "patient", urgencyOf(ledger.Waiting))
		leave()
		if got, want := q.after(time.Second), []string{"patient"}; !slices.Equal(got, want) {
			t.Errorf("served %v, want %v", got, want)
		}
	})
}

func TestBucketPassesATokenOn(t *testing.T) {
	b := newBucket(Bucket{Burst: 1, PerSecond: 1})
	served, waiting := &waiter{urgency: forRead(), ready: make(chan struct{})}, &waiter{urgency: forRead(), ready: make(chan struct{})}
	b.waiters = []*waiter{waiting} // served is out of the queue: it has a token
	b.leave(served)
	select {
	case <-waiting.ready:
	default:
		t.Error("the token of a waiter that left is lost while another one waits")
	}
}

func TestBucketEmptiesWhenThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(Bucket{Burst: 50, PerSecond: 5})
		time.Sleep(time.Second)
		b.throttled(time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := b.take(ctx, forRead()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a token right after EC2 had none: %v", err)
		}
	})
}

// The answers of calls that were under way together come one after the other.
func TestBucketEmptiesOnceForCallsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(Bucket{Burst: 50, PerSecond: 5})
		sent := time.Now()
		time.Sleep(time.Second)
		b.throttled(sent)
		time.Sleep(time.Second)
		b.throttled(sent)
		start := time.Now()
		_ = b.take(t.Context(), forRead())
		if waited := time.Since(start); waited > 0 {
			t.Errorf("waited %v for a token that was there", waited)
		}
	})
}

// EC2 throttles to a tenth of what the buckets allow and of what is asked for.
// What EC2 can do is used, and little more is asked of it.
func TestThrottlingIsNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const capacity, minutes = 0.5, 30 // calls a second
		b := newBucket(DefaultBuckets()[Assign])
		ec2 := rate.NewLimiter(capacity, 5)
		var mu sync.Mutex
		var calls, done int
		byPurpose := map[ledger.Purpose]int{}
		ctx, stop := context.WithTimeout(t.Context(), minutes*time.Minute)
		defer stop()
		for i := range 60 {
			purpose := []ledger.Purpose{ledger.Waiting, ledger.Warming, ledger.Release}[i%3]
			go func() {
				for b.take(ctx, urgencyOf(purpose)) == nil {
					sent := time.Now()
					ok := ec2.Allow()
					time.Sleep(300 * time.Millisecond)
					mu.Lock()
					if calls++; ok {
						done++
						byPurpose[purpose]++
					}
					mu.Unlock()
					if !ok {
						b.throttled(sent)
					}
				}
			}()
		}
		<-ctx.Done()
		time.Sleep(time.Second)
		synctest.Wait()
		possible := int(capacity*minutes*60) + 5
		t.Logf("%d calls, %d of %d possible done, by purpose %v", calls, done, possible, byPurpose)
		if calls > possible*5/4 {
			t.Errorf("%d calls where EC2 could do %d", calls, possible)
		}
		if done < possible*4/5 {
			t.Errorf("%d calls done where EC2 could do %d", done, possible)
		}
		if byPurpose[ledger.Waiting] < done*3/4 {
			t.Errorf("waiting pods got %d of %d", byPurpose[ledger.Waiting], done)
		}
	})
}

// The two minutes that the comment on the pace promises.
func TestFullRateReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(Bucket{Burst: 1, PerSecond: 5})
		for range 10 {
			b.throttled(time.Now())
			time.Sleep(time.Second)
		}
		time.Sleep(paceRecovery)
		_ = b.take(t.Context(), forRead())
		start := time.Now()
		for range 5 {
			_ = b.take(t.Context(), forRead())
		}
		if took := time.Since(start).Round(10 * time.Millisecond); took > time.Second {
			t.Errorf("5 tokens took %v, want 1s", took)
		}
	})
}
