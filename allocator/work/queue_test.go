package work

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var errFails = errors.New("it fails")

// job does what a test says, and notes when. It begins at second zero.
type job struct {
	*Queue[string]
	start time.Time
	fails int           // so many times, before it succeeds
	takes time.Duration // each time

	mu    sync.Mutex
	at    []float64 // when it began, in seconds
	now   int       // under way
	most  int       // under way at once
	total int       // that are over
}

// newJob runs a queue until the test, or stop, ends it.
func newJob(t *testing.T) (j *job, stop func()) {
	j = &job{Queue: NewQueue[string]("", nil), start: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		j.Run(ctx, j.do)
	}()
	return j, func() { cancel(); <-ended }
}

func (j *job) do(context.Context, string) error {
	j.mu.Lock()
	j.at = append(j.at, time.Since(j.start).Seconds())
	j.now++
	j.most = max(j.most, j.now)
	j.mu.Unlock()
	time.Sleep(j.takes)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.now--
	j.total++
	if j.fails > 0 {
		j.fails--
		return errFails
	}
	return nil
}

// until lets time pass until a second.
func (j *job) until(second float64) {
	time.Sleep(time.Until(j.start.Add(time.Duration(second * float64(time.Second)))))
	synctest.Wait()
}

// When an item is worked on, in seconds.
func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		fails int
		takes time.Duration
		do    func(j *job)
		want  []float64
	}{
		"at once": {
			do:   func(j *job) { j.Add("x") },
			want: []float64{0},
		},
		"after a while": {
			do:   func(j *job) { j.AddAfter("x", 3*time.Second) },
			want: []float64{3},
		},
		"what fails comes back, ever more slowly": {
			fails: 8,
			do:    func(j *job) { j.Add("x") },
			want:  []float64{0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5},
		},
		"success is a new beginning": {
			fails: 2,
			do: func(j *job) {
				j.Add("x")
				j.until(10)
				j.fails = 1
				j.Add("x")
			},
			want: []float64{0, 0.5, 1.5, 10, 10.5},
		},
		"several times in the queue is once": {
			takes: time.Second,
			do: func(j *job) {
				for range 3 {
					j.AddAfter("x", time.Second)
				}
			},
			want: []float64{1},
		},
		"added while it is worked on: once more, and not before that is over": {
			takes: time.Second,
			do: func(j *job) {
				j.Add("x")
				j.until(0.5)
				j.Add("x")
				j.Add("x")
			},
			want: []float64{0, 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, stop := newJob(t)
				defer stop()
				j.fails, j.takes = c.fails, c.takes
				c.do(j)
				j.until(200)
				if diff := cmp.Diff(c.want, j.at); diff != "" {
					t.Errorf("seconds differ (-want +got):\n%s", diff)
				}
				if j.most != 1 {
					t.Errorf("%d worked on one item at once", j.most)
				}
			})
		})
	}
}

func TestRunWithSeveralWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, stop := newJob(t)
		defer stop()
		j.takes = time.Second
		for i := range 2*Workers + 1 {
			j.Add(string(rune('A' + i)))
		}
		j.until(10)
		if j.most != Workers || j.total != 2*Workers+1 {
			t.Errorf("%d items at once, %d in all; want %d, %d", j.most, j.total, Workers, 2*Workers+1)
		}
	})
}

// Run leaves nothing behind: what is under way ends first, what was to come later does not come.
func TestRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, stop := newJob(t)
		j.takes = time.Second
		j.Add("x")
		j.AddAfter("y", 5*time.Second)
		j.until(0.5)
		stop()
		if took := time.Since(j.start); took != time.Second || j.total != 1 {
			t.Errorf("Run ended after %s, with %d items over; want 1s, 1", took, j.total)
		}
		j.Add("z")
		j.until(60)
		if j.total != 1 {
			t.Errorf("%d items were worked on after the end", j.total-1)
		}
	})
}
