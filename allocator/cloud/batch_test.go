package cloud

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const latency = 80 * time.Millisecond

// archive answers shared calls: it knows every key but "missing", and fails
// with err if it has one.
type archive struct {
	mu       sync.Mutex
	err      error
	sizes    []int // of the calls
	aborted  int
	inFlight int
	most     int // calls in flight at once
}

func (a *archive) fetch(ctx context.Context, keys []string) (map[string]string, error) {
	a.mu.Lock()
	a.sizes = append(a.sizes, len(keys))
	a.inFlight++
	a.most = max(a.most, a.inFlight)
	a.mu.Unlock()
	select {
	case <-time.After(latency):
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight--
	if ctx.Err() != nil {
		a.aborted++
	}
	found := map[string]string{}
	for _, k := range keys {
		if k != "missing" {
			found[k] = "value of " + k
		}
	}
	return found, a.err
}

func (a *archive) batcher() *batcher[string] {
	return newBatcher(20*time.Millisecond, 200, 5, a.fetch)
}

// lookups asks for all keys at once and returns each answer as text.
func lookups(ctx context.Context, b *batcher[string], keys ...string) []string {
	answers := make([]string, len(keys))
	var group sync.WaitGroup
	for i, k := range keys {
		group.Go(func() {
			v, ok, err := b.get(ctx, k)
			answers[i] = fmt.Sprint(v, " ", ok, " ", err)
		})
	}
	group.Wait()
	return answers
}

func TestBatchIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &archive{}
		got := lookups(t.Context(), a.batcher(), "a", "b", "a", "missing")
		want := []string{"value of a true <nil>", "value of b true <nil>", "value of a true <nil>", " false <nil>"}
		if !slices.Equal(got, want) {
			t.Errorf("answers %q, want %q", got, want)
		}
		if !slices.Equal(a.sizes, []int{3}) {
			t.Errorf("calls of %v keys, want one of 3", a.sizes)
		}
	})
}

func TestBatchFailsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &archive{err: errors.New("no")}
		got := lookups(t.Context(), a.batcher(), "a", "b")
		want := []string{"value of a true no", "value of b true no"}
		if !slices.Equal(got, want) || len(a.sizes) != 1 {
			t.Errorf("answers of %d calls are %q, want %q of one", len(a.sizes), got, want)
		}
	})
}

// A cluster of 500 nodes starts: three calls of at most 200, side by side.
func TestBatchOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &archive{}
		var keys []string
		for i := range 500 {
			keys = append(keys, fmt.Sprint("key ", i))
		}
		start := time.Now()
		lookups(t.Context(), a.batcher(), keys...)
		if took := time.Since(start); took > 20*time.Millisecond+latency {
			t.Errorf("took %v", took)
		}
		slices.Sort(a.sizes)
		if want := []int{100, 200, 200}; !slices.Equal(a.sizes, want) {
			t.Errorf("calls of %v keys, want %v", a.sizes, want)
		}
	})
}

func TestBatchBoundsCallsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &archive{}
		b := newBatcher(20*time.Millisecond, 1, 5, a.fetch)
		var keys []string
		for i := range 20 {
			keys = append(keys, fmt.Sprint("key ", i))
		}
		lookups(t.Context(), b, keys...)
		if a.most != 5 || len(a.sizes) != 20 {
			t.Errorf("%d calls, %d of them at once, want 20 and 5", len(a.sizes), a.most)
		}
	})
}

func TestBatchOutlivesOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &archive{}
		b := a.batcher()
		impatient, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		var first error
		var group sync.WaitGroup
		group.Go(func() { _, _, first = b.get(impatient, "a") })
		group.Go(func() {
			if v, _, err := b.get(t.Context(), "b"); v != "value of b" || err != nil {
				t.Errorf("the patient caller got %q, %v", v, err)
			}
		})
		group.Wait()
		if !errors.Is(first, context.DeadlineExceeded) {
			t.Errorf("the impatient caller got %v", first)
		}
	})
}

func TestBatchEndsWithItsLastCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &archive{}
		b := a.batcher()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		lookups(ctx, b, "a", "b")
		synctest.Wait()
		if a.aborted != 1 {
			t.Errorf("%d calls aborted, want 1", a.aborted)
		}
		if got := lookups(t.Context(), b, "c"); got[0] != "value of c true <nil>" {
			t.Errorf("the next caller got %q", got)
		}
	})
}

func TestBatchThatAllHaveLeftTakesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := (&archive{}).batcher()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		lookups(ctx, b, "a")
		if got := lookups(t.Context(), b, "c"); got[0] != "value of c true <nil>" {
			t.Errorf("who comes within the same window got %q", got)
		}
	})
}
