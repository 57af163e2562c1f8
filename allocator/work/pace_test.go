package work

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// server answers as a test says.
type server struct {
	takes func(under int) time.Duration // an answer, with so many under way
	fails func(n int) error             // the answer to the n-th
	late  atomic.Bool                   // something more urgent

	mu    sync.Mutex
	under int
	most  int // under way, since the count began
	total int // begun
}

func (s *server) write() error {
	s.mu.Lock()
	s.under++
	s.total++
	s.most = max(s.most, s.under)
	takes, err := s.takes(s.under), error(nil)
	if s.fails != nil {
		err = s.fails(s.total)
	}
	s.mu.Unlock()
	time.Sleep(takes)
	s.mu.Lock()
	s.under--
	s.mu.Unlock()
	return err
}

// count is what was begun, and the most that was under way, within a while.
func (s *server) count(d time.Duration) (total, most int) {
	s.mu.Lock()
	before := s.total
	s.most = s.under
	s.mu.Unlock()
	time.Sleep(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total - before, s.most
}

// run has far more writers than may be under way.
func (s *server) run(t *testing.T) (stop func()) {
	p := NewPace(s.late.Load)
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 2 * widest {
		writers.Go(func() {
			for ctx.Err() == nil {
				_ = p.Do(ctx, s.write)
			}
		})
	}
	return func() { cancel(); writers.Wait() }
}

func constant(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

// TestPace: how many are under way in the end.
func TestPace(t *testing.T) {
	for name, c := range map[string]struct {
		server    *server
		low, high int
	}{
		"a quick server":                        {server: &server{takes: constant(5 * time.Millisecond)}, low: widest, high: widest},
		"one that is slow, whatever it is sent": {server: &server{takes: constant(500 * time.Millisecond)}, low: widest, high: widest},
		"one that is the slower, the more it is sent": {
			server: &server{takes: func(n int) time.Duration { return time.Duration(n*n) * 4 * time.Millisecond }}, low: 2, high: 12,
		},
		"one that asks for less": {
			server: &server{takes: constant(5 * time.Millisecond), fails: func(n int) error {
				if n%20 == 0 {
					return apierrors.NewTooManyRequests("", 1)
				}
				return nil
			}},
			low: 2, high: 12,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer c.server.run(t)()
				time.Sleep(time.Minute)
				if _, most := c.server.count(20 * time.Second); most < c.low || most > c.high {
					t.Errorf("up to %d under way at once, want %d to %d", most, c.low, c.high)
				}
			})
		})
	}
}

// TestPaceMakesWay: while something more urgent is late nothing begins, and all goes on after.
func TestPaceMakesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{takes: constant(500 * time.Millisecond)}
		defer s.run(t)()
		time.Sleep(10 * time.Second)
		s.late.Store(true)
		synctest.Wait()
		if n, _ := s.count(10 * time.Second); n != 0 {
			t.Errorf("%d writes began while something more urgent was late", n)
		}
		s.late.Store(false)
		if n, _ := s.count(10 * time.Second); n == 0 {
			t.Error("nothing was written any more")
		}
	})
}

// TestPaceOfNothing: work that asks no server says nothing about it.
func TestPaceOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		s.takes = func(int) time.Duration { return time.Duration(s.total%2) * 500 * time.Millisecond }
		defer s.run(t)()
		time.Sleep(time.Minute)
		if _, most := s.count(5 * time.Second); most < widest {
			t.Errorf("up to %d under way at once, want %d", most, widest)
		}
	})
}

// TestPaceEnds: who waits is let go with its context.
func TestPaceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p := NewPace(func() bool { return true })
		if err := p.Do(ctx, func() error { t.Error("it was written"); return nil }); err == nil {
			t.Error("no error")
		}
	})
}
