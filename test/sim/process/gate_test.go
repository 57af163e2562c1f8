package process

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// enter passes the gate n times with an effect, and says how many got through.
func enter(g *Gate, n int) (through int, err error) {
	for range n {
		if _, err = g.Enter(true); err != nil {
			return through, err
		}
		through++
	}
	return through, nil
}

func TestCrashAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crashes := 0
		g := NewGate(func() { crashes++ })
		if n, _ := enter(g, 2); n != 2 {
			t.Fatalf("%d of 2", n)
		}
		g.CrashAt(3)
		n, err := enter(g, 10)
		if n != 3 || !errors.Is(err, ErrCrashed) || g.Effects() != 5 {
			t.Errorf("%d effects after CrashAt(3), %d in all, error %v", n, g.Effects(), err)
		}
		if err := g.Leave(); !errors.Is(err, ErrCrashed) {
			t.Errorf("an answer came through: %v", err)
		}
		g.Crash()
		<-g.Crashed()
		if crashes != 1 {
			t.Errorf("%d crashes", crashes)
		}
	})
}

// Reads do not count, and answers of what was under way do not come through.
func TestCrashAtCountsEffects(t *testing.T) {
	g := NewGate(nil)
	g.CrashAt(1)
	for range 5 {
		if _, err := g.Enter(false); err != nil {
			t.Fatal(err)
		}
		if err := g.Leave(); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := enter(g, 2); n != 1 {
		t.Errorf("%d effects", n)
	}
}

func TestFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(nil)
		g.Freeze()
		time.AfterFunc(time.Minute, g.Thaw)
		start := time.Now()
		waited, err := g.Enter(true)
		if !waited || err != nil || time.Since(start) != time.Minute {
			t.Errorf("waited %v, for %v, error %v", waited, time.Since(start), err)
		}
		if waited, err := g.Enter(true); waited || err != nil {
			t.Errorf("after the thaw: waited %v, error %v", waited, err)
		}
	})
}

func TestFreezeAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(nil)
		g.FreezeAt(2, time.Minute)
		start := time.Now()
		for i, want := range []time.Duration{0, 0, time.Minute, time.Minute} {
			if _, err := g.Enter(true); err != nil || time.Since(start) != want {
				t.Errorf("effect %d after %v, want %v", i+1, time.Since(start), want)
			}
		}
	})
}

// A freeze that was announced and came otherwise does not come again.
func TestFreezeInstead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(nil)
		g.FreezeAt(2, time.Minute)
		g.Freeze()
		g.Thaw()
		start := time.Now()
		for range 4 {
			if _, err := g.Enter(true); err != nil || time.Since(start) > 0 {
				t.Errorf("frozen for %s, error %v", time.Since(start), err)
			}
		}
	})
}

func TestCrashOfAFrozenProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(nil)
		g.Freeze()
		time.AfterFunc(time.Second, g.Crash)
		if waited, err := g.Enter(false); !waited || !errors.Is(err, ErrCrashed) {
			t.Errorf("waited %v, error %v", waited, err)
		}
		if g.Frozen() {
			t.Error("it is dead and frozen")
		}
	})
}
