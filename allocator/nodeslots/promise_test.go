package nodeslots

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/testr"

	"slotwise.dev/slotwise/allocator/work"
)

func text(version int) string { return strconv.Itoa(version) }

// What the leader before has left, and what is made of it. Whatever there is has to be
// taken back, trusted or not.
func TestI2Known(t *testing.T) {
	for name, c := range map[string]struct {
		left     []string // nil: no object
		eni      string
		distrust bool
		fails    func(string) fate
		want     []string
		promises bool
	}{
		"a list":                      {left: []string{"10.0.0.1/32", "10.0.0.16/28"}, eni: "eni-1", want: []string{"10.0.0.1/32", "10.0.0.16/28"}, promises: true},
		"an empty one":                {left: []string{}, eni: "eni-1", promises: true},
		"none":                        {eni: "eni-1"},
		"that of another interface":   {left: []string{"10.0.0.1/32"}, eni: "eni-2", promises: true},
		"one that another may keep":   {left: []string{"10.0.0.1/32"}, eni: "eni-1", distrust: true, promises: true},
		"one with a word":             {left: []string{"10.0.0.1/32", "all"}, eni: "eni-1", promises: true},
		"one with more than a prefix": {left: []string{"10.0.0.1/32", "10.0.0.0/24"}, eni: "eni-1", promises: true},
		"one that cannot be read":     {left: []string{"10.0.0.1/32"}, eni: "eni-1", fails: always(refused), promises: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				if c.left != nil {
					w.another("win-1", c.left...)
				}
				w.fails(c.fails)
				var got []string
				for _, p := range w.object.Known(t.Context(), c.eni, !c.distrust) {
					got = append(got, p.String())
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("known to be free are %v, want %v", got, c.want)
				}
				if got := w.object.Promises(); got != c.promises {
					t.Errorf("promises: %t, want %t", got, c.promises)
				}
				w.fails(nil)
				if _, err := w.bind(t.Context()); err != nil {
					t.Fatal(err)
				}
				if o, _ := w.of("win-1"); len(o.status.KnownFree) > 0 {
					t.Errorf("an address was given while the list names %v", o.status.KnownFree)
				}
			})
		})
	}
}

// Where the reader gives up, what is there counts as a promise.
func TestI2KnownGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.takes = 2 * time.Second
		w.Changed("win-1")
		w.until(1.5)
		w.object.promised.Store(false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if free := w.object.Known(ctx, "eni-1", true); free != nil || !w.object.Promises() {
			t.Errorf("known are %v, promises: %t", free, w.object.Promises())
		}
	})
}

// Many nodes read what was left while their objects are to be written too: none waits for
// another one for good. All of them begin when the lease is no longer late.
func TestKnownOfManyNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, objects := newStore(), map[string]*Object{}
		s.takes = time.Second
		var late atomic.Bool
		late.Store(true)
		r := New(Options{Store: s, Pace: work.NewPace(late.Load), Log: testr.New(t),
			Find: func(node string) *Object { return objects[node] }})
		var reads sync.WaitGroup
		for i := range 4 * work.Workers {
			n := &node{name: fmt.Sprintf("win-%d", i)}
			o := r.Object(n)
			objects[n.name] = o
			reads.Go(func() { o.Known(t.Context(), "eni-1", true) })
		}
		synctest.Wait()
		for name := range objects {
			r.queue.Add(name)
		}
		go r.Run(t.Context())
		synctest.Wait()
		late.Store(false)
		reads.Wait()
		for name, o := range objects {
			if o.Promises() {
				t.Errorf("%s was not read", name)
			}
		}
	})
}

// What a bind does about the list, at second ten.
func TestI2TakeBack(t *testing.T) {
	for name, c := range map[string]struct {
		prepare  func(w *world)
		fails    bool
		promises bool
		want     []string
	}{
		"the list stands": {
			want: []string{"10: win-1 in use 1 free"},
		},
		"it was taken back before": {
			prepare: func(w *world) { _ = w.object.TakeBack(w.ctx) },
			want:    []string{"10: win-1 in use 0 free"},
		},
		"it cannot be": {
			prepare: func(w *world) { w.fails(always(refused)) },
			fails:   true, promises: true,
		},
		"the answer is lost": {
			prepare: func(w *world) { w.fails(once(lost)) },
			fails:   true, promises: true,
			want: []string{"10: win-1 in use 1 free"},
		},
		"the answer to the one before was lost": {
			prepare: func(w *world) { w.fails(once(lost)); _ = w.object.TakeBack(w.ctx) },
			want:    []string{"10: win-1 in use 0 free", "10: win-1 in use 1 free"},
		},
		"the answer to the list was lost": {
			prepare: func(w *world) {
				_ = w.object.TakeBack(w.ctx)
				w.fails(once(lost))
				_ = w.object.write(w.ctx, 0)
			},
			want: []string{"10: win-1 in use 0 free", "10: win-1 in use 0 free 10.0.0.1/32 10.0.0.2/32", "10: win-1 in use 1 free"},
		},
		"another client has written one": {
			prepare: func(w *world) { w.another("win-1", "10.0.0.2/32") },
			want:    []string{"10: win-1 in use 1 free"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := listed(t)
				if c.prepare != nil {
					c.prepare(w)
				}
				_, err := w.bind(t.Context())
				if (err != nil) != c.fails || err != nil && !errors.Is(err, errAPI) {
					t.Errorf("bind = %v, fails: %t", err, c.fails)
				}
				if got := w.object.Promises(); got != c.promises {
					t.Errorf("promises: %t, want %t", got, c.promises)
				}
				w.want(t, c.want...)
			})
		})
	}
}

// Many binds at once take the list back once.
func TestTakeBackOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := listed(t)
		w.takes = time.Second
		var binds sync.WaitGroup
		for range 5 {
			binds.Go(func() {
				if err := w.object.TakeBack(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		binds.Wait()
		w.want(t, "11: win-1 in use 0 free")
	})
}

// A bind that takes an address just after the list was made up finds the promise, though
// it is not written yet, and waits for it.
func TestI2AddressTakenWhileTheListIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := listed(t)
		if err := w.object.TakeBack(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.want(t, "10: win-1 in use 0 free")
		w.takes = time.Second
		bound := make(chan error, 1)
		w.node.looked = sync.OnceFunc(func() {
			go func() { _, err := w.bind(t.Context()); bound <- err }()
			synctest.Wait()
		})
		w.Changed("win-1")
		if err := <-bound; err != nil {
			t.Fatal(err)
		}
		if o, _ := w.of("win-1"); o.status.KnownFree != nil {
			t.Errorf("the address was given while the list names %v", o.status.KnownFree)
		}
		w.want(t, "12: win-1 in use 0 free 10.0.0.1/32 10.0.0.2/32", "13: win-1 in use 1 free")
	})
}

// A bind waits for a write under way no longer than it may, and its address is not given.
func TestTakeBackIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := listed(t)
		w.takes = 4 * time.Second
		w.node.set(func() { w.node.inUse = 1 })
		w.Changed("win-1")
		w.until(11.5)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.bind(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("bind = %v, want %v", err, context.DeadlineExceeded)
		}
		if since := time.Since(w.start); since != 12500*time.Millisecond {
			t.Errorf("that took until %s", since)
		}
	})
}

// An API server that hangs holds a bind up for writeLimit at the most.
func TestWritesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := listed(t)
		w.takes = time.Hour
		start := time.Now()
		if err := w.object.TakeBack(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("TakeBack = %v, want %v", err, context.DeadlineExceeded)
		}
		if took := time.Since(start); took != writeLimit {
			t.Errorf("it took %s, want %s", took, writeLimit)
		}
	})
}

// However binds, ends and writes meet, with requests that fail, whose answers are lost or
// that are carried out late, and with another Node that comes to offer the capacity: no
// pod has an address that a list names.
func TestI2NoAddressIsGivenWhileListed(t *testing.T) {
	listings, given := 0, 0
	for seed := range uint64(150) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &history{world: newWorld(t), chance: rand.New(rand.NewPCG(seed, 1)), held: map[string]bool{}}
				h.play(t)
				h.judge.Lock()
				defer h.judge.Unlock()
				listings += h.listings
				given += h.given
			})
		})
	}
	if listings < 200 || given < 1000 {
		t.Errorf("only %d lists and %d addresses in all: that shows little", listings, given)
	}
}

// history is a random one of a node. What pods hold is judged whenever one is given an
// address, and whenever an object is written.
type history struct {
	*world

	dice   sync.Mutex
	chance *rand.Rand

	judge    sync.Mutex
	held     map[string]bool // by pods
	listings int
	given    int
}

// roll is a random number below n.
func (h *history) roll(n int) int {
	h.dice.Lock()
	defer h.dice.Unlock()
	return h.chance.IntN(n)
}

func (h *history) play(t *testing.T) {
	h.takes = 50 * time.Millisecond
	h.fails(func(string) fate {
		switch h.roll(10) {
		case 0:
			return refused
		case 1:
			return lost
		case 2:
			return late
		}
		return done
	})
	h.node.looked = func() { time.Sleep(time.Duration(h.roll(20)) * time.Millisecond) }
	h.changed = func(what string) { h.written(t, what) }
	var binds sync.WaitGroup
	for range 60 {
		switch h.roll(8) {
		case 0, 1, 2:
			binds.Go(func() { h.bindOne(t) })
		case 3, 4:
			h.endOne()
		case 5:
			h.node.set(func() { h.node.name = []string{"win-1", "win-2"}[h.roll(2)] })
			h.Changed("win-1")
			h.Changed("win-2")
		case 6:
			o, _ := h.of("win-1")
			h.object.Seen(text(o.version))
		case 7:
			time.Sleep(time.Duration(h.roll(7000)) * time.Millisecond)
		}
		h.Changed(h.node.Name())
		time.Sleep(time.Duration(h.roll(200)) * time.Millisecond)
	}
	binds.Wait()
	time.Sleep(time.Minute)
}

func (h *history) bindOne(t *testing.T) {
	address, ok := h.node.take()
	if !ok {
		return
	}
	if err := h.object.TakeBack(t.Context()); err != nil {
		h.node.gives(address)
		return
	}
	for _, name := range []string{"win-1", "win-2"} {
		if o, _ := h.of(name); slices.Contains(o.status.KnownFree, address) {
			t.Errorf("%s is given while the list of %s names it", address, name)
		}
	}
	h.judge.Lock()
	defer h.judge.Unlock()
	h.held[address] = true
	h.given++
}

func (h *history) endOne() {
	h.judge.Lock()
	defer h.judge.Unlock()
	for address := range h.held {
		delete(h.held, address)
		h.node.gives(address)
		return
	}
}

// written judges a change of an object.
func (h *history) written(t *testing.T, what string) {
	h.judge.Lock()
	defer h.judge.Unlock()
	_, list, _ := strings.Cut(what, " free")
	if list != "" {
		h.listings++
	}
	for address := range h.held {
		if slices.Contains(strings.Fields(list), address) {
			t.Errorf("a list names %s, which a pod has: %s", address, what)
		}
	}
}
