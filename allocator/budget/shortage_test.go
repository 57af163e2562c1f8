package budget

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

// EC2 has refused a prefix; then something happens.
func TestShortage(t *testing.T) {
	for name, c := range map[string]struct {
		used   []string // when EC2 refuses
		mapped bool     // the map shows none itself
		then   func(b *Budget)
		want   int // prefixes available
		ends   bool
	}{
		"EC2's word counts more than the map": {
			then: func(*Budget) {}, want: 0,
		},
		"where only the map shows too little, one is offered to be tried": {
			mapped: true, then: func(*Budget) {}, want: 1,
		},
		"a map that shows the same says nothing new": {
			then: func(b *Budget) { b.install(tiny()) }, want: 0,
		},
		"a map that shows less explains it": {
			then: func(b *Budget) { b.install(tiny("10.0.0.20/32")) }, want: 1, ends: true,
		},
		"a map that shows more is a way out": {
			used: []string{"10.0.0.16/28"}, then: func(b *Budget) { b.install(tiny()) }, want: 2, ends: true,
		},
		"after the pause one block is tried": {
			then: func(b *Budget) { time.Sleep(firstPause); b.install(tiny()) }, want: 1,
		},
		"by one node at a time": {
			then: func(b *Budget) { time.Sleep(firstPause); b.install(tiny()); b.Claim(ledger.Prefix, 2) }, want: 0,
		},
		"a block that a node gave back is known to be there": {
			used: []string{"10.0.0.32/28"}, then: func(b *Budget) { b.Gave(prefixes("10.0.0.32/28")) }, want: 2, ends: true,
		},
		"an address that a node gave back is no prefix": {
			used: []string{"10.0.0.33/32", "10.0.0.34/32"}, then: func(b *Budget) { b.Gave(prefixes("10.0.0.33/32")) }, want: 0,
		},
		"a try that succeeds ends it": {
			then: func(b *Budget) {
				time.Sleep(firstPause)
				b.install(tiny())
				b.Took("eni-a", ledger.Prefix, b.Claim(ledger.Prefix, 1), prefixes("10.0.0.16/28"))
			}, want: 1, ends: true,
		},
		"a map that was wrong again is no way out at once": {
			then: refusedAgain(0, 0), want: 0,
		},
		"but after a while": {
			then: refusedAgain(0, 2*firstPause), want: 2, ends: true,
		},
		"what was long ago is forgotten": {
			then: refusedAgain(2*lastPause+time.Second, 0), want: 2, ends: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, _ := budgetOf(tiny(c.used...))
				if !b.Lacks(ledger.Prefix, !c.mapped) {
					t.Error("the first refusal is no news")
				}
				c.then(b)
				if got := b.Available(ledger.Prefix); got != c.want {
					t.Errorf("%d available, want %d", got, c.want)
				}
				if ends := b.retryAt().IsZero(); ends != c.ends {
					t.Errorf("it ended: %t, want %t", ends, c.ends)
				}
				if news := b.Lacks(ledger.Prefix, true); news != c.ends {
					t.Errorf("another refusal is news: %t, want %t", news, c.ends)
				}
			})
		})
	}
}

// refusedAgain has the map change, EC2 refuse once more after a time, and the map change
// again after another.
func refusedAgain(first, then time.Duration) func(*Budget) {
	return func(b *Budget) {
		b.install(tiny("10.0.0.20/32"))
		time.Sleep(first)
		b.Lacks(ledger.Prefix, true)
		time.Sleep(then)
		b.install(tiny())
	}
}

// One kind may be short while the other is not, and the one that is due first counts.
func TestShortageOfAKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := budgetOf(tiny())
		b.Lacks(ledger.Prefix, true)
		if got := b.Available(ledger.SecondaryIP); got != 59 {
			t.Errorf("%d addresses available while prefixes lack, want 59", got)
		}
		first := time.Now().Add(firstPause)
		time.Sleep(time.Second)
		b.Lacks(ledger.SecondaryIP, true)
		if got := b.retryAt(); !got.Equal(first) {
			t.Errorf("the next try is at %s, want %s", got, first)
		}
	})
}

// A subnet that stays full is looked at again and again, ever more rarely.
func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := budgetOf(tiny())
		b.Lacks(ledger.Prefix, true)
		var pauses []float64
		for range 7 {
			last := time.Now()
			time.Sleep(time.Until(b.retryAt()))
			pauses = append(pauses, time.Since(last).Seconds())
			b.install(tiny())
			b.Lacks(ledger.Prefix, true)
		}
		if want := []float64{5, 10, 20, 40, 80, 120, 120}; !slices.Equal(pauses, want) {
			t.Errorf("pauses of %v seconds, want %v", pauses, want)
		}
	})
}

// A refusal while the map shows another room than before makes that the room that says
// nothing new.
func TestShortageIsOfTheLatestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := budgetOf(tiny())
		b.Lacks(ledger.Prefix, true)
		b.Drifted("eni-a", ledger.Drift{Appeared: prefixes("10.0.0.16/28")})
		b.Lacks(ledger.Prefix, true)
		for _, shown := range []cloud.Subnet{tiny("10.0.0.16/28"), tiny("10.0.0.16/28")} {
			b.install(shown)
			if got := b.Available(ledger.Prefix); got != 0 {
				t.Errorf("%d available, want 0", got)
			}
		}
	})
}
