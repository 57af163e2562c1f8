package budget

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/testr"

	"slotwise.dev/slotwise/allocator/ledger"
)

var errEC2 = errors.New("EC2 does not answer")

// When EC2 is asked to describe the subnet, that was described at second zero.
func TestWhenSubnetsAreDescribed(t *testing.T) {
	for name, c := range map[string]struct {
		do      func(s *Subnets, b *Budget, e *ec2)
		seconds int
		want    []float64
	}{
		"one that lacks nothing": {
			do: func(*Subnets, *Budget, *ec2) {}, seconds: 150, want: []float64{0, 60, 120},
		},
		"a look is asked for": {
			do: func(s *Subnets, b *Budget, _ *ec2) {
				time.Sleep(2 * time.Second)
				s.LookSoon(b)
			}, seconds: 70, want: []float64{0, 2, 62},
		},
		"it is asked for while one runs, twice": {
			do: func(s *Subnets, b *Budget, e *ec2) {
				e.takes = 4 * time.Second
				s.LookSoon(b)
				time.Sleep(time.Second)
				s.LookSoon(b)
				s.LookSoon(b)
			}, seconds: 30, want: []float64{0, 0, 4},
		},
		"a shortage": {
			do: func(s *Subnets, b *Budget, _ *ec2) {
				if b.Lacks(ledger.Prefix, false) {
					s.LookSoon(b)
				}
			}, seconds: 90, want: []float64{0, 0, 5, 15, 35, 75},
		},
		"a shortage that Run is told of only": {
			do: func(s *Subnets, b *Budget, _ *ec2) { b.Lacks(ledger.Prefix, true); s.Wake() }, seconds: 20, want: []float64{0, 5, 15},
		},
		"a shortage that Run is not told of": {
			do: func(_ *Subnets, b *Budget, _ *ec2) { b.Lacks(ledger.Prefix, true) }, seconds: 69, want: []float64{0, 60},
		},
		"a shortage, and EC2 does not answer": {
			do: func(s *Subnets, b *Budget, e *ec2) {
				e.answers(errEC2)
				b.Lacks(ledger.Prefix, true)
				time.Sleep(7 * time.Second)
				s.Wake()
			}, seconds: 25, want: []float64{0, 7, 12, 17, 22},
		},
		"EC2 did not answer, and a look is asked for": {
			do: func(s *Subnets, b *Budget, e *ec2) {
				e.answers(errEC2)
				b.Lacks(ledger.Prefix, true)
				time.Sleep(7 * time.Second)
				s.Wake()
				time.Sleep(time.Second)
				s.LookSoon(b)
			}, seconds: 16, want: []float64{0, 7, 8, 13},
		},
		"no shortage, and EC2 does not answer": {
			do: func(_ *Subnets, _ *Budget, e *ec2) { e.answers(errEC2) }, seconds: 130, want: []float64{0, 60, 120},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, b, e, _ := running(t, everyMinute)
				start := time.Now()
				c.do(s, b, e)
				time.Sleep(time.Until(start.Add(time.Duration(c.seconds) * time.Second)))
				if got := e.asked(); !slices.Equal(got, c.want) {
					t.Errorf("described at seconds %v, want %v", got, c.want)
				}
			})
		})
	}
}

// A look of somebody else counts like one of Run.
func TestSomebodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, e, _ := running(t, everyMinute)
		time.Sleep(50 * time.Second)
		s.Look(t.Context(), b)
		time.Sleep(65 * time.Second)
		if got, want := e.asked(), []float64{0, 50, 110}; !slices.Equal(got, want) {
			t.Errorf("described at seconds %v, want %v", got, want)
		}
	})
}

// What is due next may change: Run finds it out anew when it is woken.
func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		certain := start
		s, _, e, _ := running(t, func(last time.Time) time.Time {
			if last.Before(certain) {
				return certain
			}
			return last.Add(time.Hour)
		})
		time.Sleep(time.Second)
		synctest.Wait()
		certain = start.Add(10 * time.Second)
		s.Wake()
		time.Sleep(20 * time.Second)
		if got, want := e.asked(), []float64{0, 10}; !slices.Equal(got, want) {
			t.Errorf("described at seconds %v, want %v", got, want)
		}
	})
}

// Each subnet has its own time, and a slow one holds up no other for long.
func TestSubnetsAreDescribedOnTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, e, _ := running(t, everyMinute)
		time.Sleep(20 * time.Second)
		if _, err := s.Budget(t.Context(), "subnet-2"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(69 * time.Second)
		if got, want := e.asked(), []float64{0, 20, 60, 80}; !slices.Equal(got, want) {
			t.Errorf("described at seconds %v, want %v", got, want)
		}
	})
}

// A subnet that comes while Run sleeps is described when its own time has come.
func TestSubnetThatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ec2{start: time.Now()}
		s := NewSubnets(Options{
			Describer: e, Listener: &listener{}, Log: testr.New(t),
			Next: func(last time.Time) time.Time { return last.Add(10 * time.Second) },
		})
		go s.Run(t.Context())
		time.Sleep(12 * time.Second)
		b, err := s.Budget(t.Context(), "subnet-1")
		if err != nil {
			t.Fatal(err)
		}
		s.options.Listener.(*listener).budget = b
		time.Sleep(15 * time.Second)
		if got, want := e.asked(), []float64{12, 22}; !slices.Equal(got, want) {
			t.Errorf("described at seconds %v, want %v", got, want)
		}
	})
}

// The listener is told of the room first, then of the describe; what either reads is there.
func TestLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, e, l := running(t, everyMinute)
		e.answers(nil, "10.0.0.16/28")
		s.Look(t.Context(), b)
		if got, want := l.all(), []told{{available: 1}, {described: true, available: 1}}; !slices.Equal(got, want) {
			t.Errorf("told %+v, want %+v", got, want)
		}
		s.Look(t.Context(), b)
		if got, want := l.all(), []told{{described: true, available: 1}}; !slices.Equal(got, want) {
			t.Errorf("told %+v, want %+v", got, want)
		}
		e.answers(errEC2)
		s.Look(t.Context(), b)
		if got := l.all(); got != nil || b.Available(ledger.Prefix) != 1 {
			t.Errorf("told %+v of no answer, and %d prefixes are available", got, b.Available(ledger.Prefix))
		}
	})
}

func TestLooksAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, e, l := running(t, everyMinute)
		e.takes = time.Second
		var nodes sync.WaitGroup
		for range 5 {
			nodes.Go(func() { s.Look(t.Context(), b) })
		}
		nodes.Wait()
		if got, want := e.asked(), []float64{0, 0}; !slices.Equal(got, want) {
			t.Errorf("described at seconds %v, want %v", got, want)
		}
		if got := l.all(); len(got) != 1 {
			t.Errorf("told %+v", got)
		}
	})
}

// EC2 may hang: a look ends all the same.
func TestLookIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSubnets(Options{Describer: &ec2{}, Listener: &listener{}, Next: everyMinute, Log: testr.New(t)})
		b, _ := s.Budget(t.Context(), "subnet-1")
		s.options.Describer = hanging{}
		start := time.Now()
		s.Look(t.Context(), b)
		if took := time.Since(start); took != describeTimeout {
			t.Errorf("it took %s, want %s", took, describeTimeout)
		}
	})
}

// The first who asks for a budget has the subnet described; there is never a second one.
func TestOneBudgetASubnet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ec2{start: time.Now(), takes: time.Second, err: errEC2}
		s := NewSubnets(Options{Describer: e, Listener: &listener{}, Next: everyMinute, Log: testr.New(t)})
		if _, err := s.Budget(t.Context(), "subnet-1"); !errors.Is(err, errEC2) {
			t.Fatalf("Budget = %v, want %v", err, errEC2)
		}
		e.answers(nil)
		budgets := make([]*Budget, 5)
		var nodes sync.WaitGroup
		for i := range budgets {
			nodes.Go(func() { budgets[i], _ = s.Budget(t.Context(), "subnet-1") })
		}
		nodes.Wait()
		late, _ := s.open(t.Context(), "subnet-1") // of one who has not seen that it is there by now
		for _, b := range append(budgets, late) {
			if b == nil || b != budgets[0] {
				t.Error("there are two budgets of one subnet, or none")
			}
		}
		if got, want := e.asked(), []float64{0, 1}; !slices.Equal(got, want) {
			t.Errorf("described at seconds %v, want %v", got, want)
		}
	})
}

func TestAll(t *testing.T) {
	s := NewSubnets(Options{Describer: &ec2{}, Listener: &listener{}, Next: everyMinute, Log: testr.New(t)})
	for _, id := range []string{"subnet-2", "subnet-1", "subnet-3"} {
		if _, err := s.Budget(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for _, b := range s.All() {
		ids = append(ids, b.ID)
	}
	if want := []string{"subnet-1", "subnet-2", "subnet-3"}; !slices.Equal(ids, want) {
		t.Errorf("All() = %v, want %v", ids, want)
	}
}
