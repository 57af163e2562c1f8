package allocator

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

// tiny is a subnet of 64 addresses: two prefixes, or 59 addresses.
func tiny(used ...string) cloud.Subnet {
	s := cloud.Subnet{ID: "subnet-1", CIDR: netip.MustParsePrefix("10.0.0.0/26"), Available: 59, AsOf: time.Now()}
	for _, u := range used {
		p := netip.MustParsePrefix(u)
		s.Used = append(s.Used, p)
		s.Available -= ledger.KindOf(p).Addresses()
	}
	return s
}

func newTestBudget(s cloud.Subnet) *budget { return newBudget(s, func(bool) {}) }

func TestClaimsAreNeverMoreThanThereIs(t *testing.T) {
	b := newTestBudget(tiny())
	if got := b.claim(ledger.Prefix, 5); got != 2 {
		t.Errorf("claimed %d of 5, want 2", got)
	}
	if got := b.claim(ledger.Prefix, 1); got != 0 {
		t.Errorf("claimed %d more", got)
	}
	b.unclaim(ledger.Prefix, 1)
	if got := b.available(ledger.Prefix); got != 1 {
		t.Errorf("%d available after one came back", got)
	}
}

// What we assigned a moment ago stays taken though a describe does not show it.
func TestADescribeThatLagsGivesNothingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBudget(tiny())
		b.took(ledger.Prefix, b.claim(ledger.Prefix, 1), []netip.Prefix{netip.MustParsePrefix("10.0.0.16/28")})
		b.install(tiny())
		if got := b.available(ledger.Prefix); got != 1 {
			t.Errorf("%d available from a describe that lags, want 1", got)
		}
		time.Sleep(ledger.Settle + time.Second)
		b.install(tiny())
		if got := b.available(ledger.Prefix); got != 2 {
			t.Errorf("%d available once the describe cannot lag, want 2", got)
		}
	})
}

func TestShortage(t *testing.T) {
	for name, c := range map[string]struct {
		then func(b *budget)
		want int // prefixes available
	}{
		"EC2's word counts more than the chart": {func(*budget) {}, 0},
		"a chart that shows the same says nothing new": {func(b *budget) {
			b.install(tiny())
		}, 0},
		"a chart that shows less explains it": {func(b *budget) {
			b.install(tiny("10.0.0.20/32"))
		}, 1},
		"after the pause one block is tried": {func(b *budget) {
			time.Sleep(firstPause)
			b.install(tiny())
		}, 1},
		"a block of our own making is known to be there": {func(b *budget) {
			b.gave([]netip.Prefix{netip.MustParsePrefix("10.0.0.32/28")})
		}, 2},
		"a try that succeeds ends it": {func(b *budget) {
			time.Sleep(firstPause)
			b.install(tiny())
			b.took(ledger.Prefix, b.claim(ledger.Prefix, 1), []netip.Prefix{netip.MustParsePrefix("10.0.0.16/28")})
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTestBudget(tiny())
				if name == "a block of our own making is known to be there" {
					b.install(tiny("10.0.0.32/28"))
				}
				if !b.lacks(ledger.Prefix, true) {
					t.Error("the first refusal is no news")
				}
				c.then(b)
				if got := b.available(ledger.Prefix); got != c.want {
					t.Errorf("%d available, want %d", got, c.want)
				}
			})
		})
	}
}

// A subnet that stays full is looked at again and again, ever more rarely.
func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBudget(tiny())
		b.lacks(ledger.Prefix, true)
		var pauses []time.Duration
		for range 7 {
			last := time.Now()
			time.Sleep(time.Until(b.nextLook(last, time.Hour)))
			pauses = append(pauses, time.Since(last))
			b.install(tiny())
			b.lacks(ledger.Prefix, true)
		}
		for i, seconds := range []float64{5, 10, 20, 40, 80, 120, 120} {
			if pauses[i].Seconds() != seconds {
				t.Errorf("pauses = %v: number %d should be %.0fs", pauses, i, seconds)
			}
		}
	})
}

// However nodes claim and give back, nothing is promised twice (I3).
func TestI3ClaimsAndBlocksNeverExceedTheSubnet(t *testing.T) {
	blocks := []netip.Prefix{netip.MustParsePrefix("10.0.0.16/28"), netip.MustParsePrefix("10.0.0.32/28")}
	rapid.Check(t, func(t *rapid.T) {
		b := newTestBudget(tiny())
		claimed, taken := 0, 0
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if claimed+taken > len(blocks) {
					t.Fatalf("%d blocks claimed and %d taken of %d", claimed, taken, len(blocks))
				}
				if got, want := b.available(ledger.Prefix), len(blocks)-claimed-taken; got != want {
					t.Fatalf("%d available, want %d", got, want)
				}
			},
			"claim": func(t *rapid.T) { claimed += b.claim(ledger.Prefix, rapid.IntRange(0, 3).Draw(t, "n")) },
			"unclaim": func(t *rapid.T) {
				n := rapid.IntRange(0, claimed).Draw(t, "n")
				b.unclaim(ledger.Prefix, n)
				claimed -= n
			},
			"EC2 assigns": func(t *rapid.T) {
				if claimed == 0 {
					t.Skip("nothing claimed")
				}
				b.took(ledger.Prefix, 1, blocks[taken:taken+1])
				claimed, taken = claimed-1, taken+1
			},
			"EC2 unassigns": func(t *rapid.T) {
				if taken == 0 {
					t.Skip("nothing taken")
				}
				taken--
				b.gave(blocks[taken : taken+1])
			},
		})
	})
}

// What others have in a shared subnet shows only in how much is left. One describe
// whose two answers are not of one moment takes nothing away.
func TestHiddenUse(t *testing.T) {
	shared := tiny()
	shared.Available = 20
	for name, c := range map[string]struct {
		first, then  cloud.Subnet
		blocks, free int
	}{
		"none":               {tiny(), tiny(), 2, 59},
		"at the start":       {shared, shared, 1, 20},
		"seen once":          {tiny(), shared, 2, 59},
		"seen once too much": {shared, tiny(), 2, 59},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestBudget(c.first)
			b.install(c.then)
			if blocks, free := b.available(ledger.Prefix), b.available(ledger.SecondaryIP); blocks != c.blocks || free != c.free {
				t.Errorf("%d blocks and %d addresses available, want %d and %d", blocks, free, c.blocks, c.free)
			}
		})
	}
}
