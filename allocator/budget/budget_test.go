package budget

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

func TestClaimsAreNeverMoreThanThereIs(t *testing.T) {
	b, _ := budgetOf(tiny())
	if got := b.Claim(ledger.Prefix, 5); got != 2 {
		t.Errorf("claimed %d of 5, want 2", got)
	}
	if got := b.Claim(ledger.Prefix, 1); got != 0 {
		t.Errorf("claimed %d more", got)
	}
	b.Unclaim(ledger.Prefix, 1)
	if got := b.Available(ledger.Prefix); got != 1 {
		t.Errorf("%d available after one came back", got)
	}
}

// I3: what is asked for by name and what EC2 is to choose are never more than there is.
func TestI3ClaimsOfNamedBlocks(t *testing.T) {
	b, _ := budgetOf(tiny())
	if !b.ClaimNamed(ledger.Prefix, 1) || b.Available(ledger.Prefix) != 1 {
		t.Errorf("%d are available beside one that is asked for by name, want 1", b.Available(ledger.Prefix))
	}
	b.Unclaim(ledger.Prefix, 1)
	b.Claim(ledger.Prefix, 2)
	if b.ClaimNamed(ledger.Prefix, 1) || !b.Contested(ledger.Prefix, 2, 1) {
		t.Error("what is promised to others is asked for by name")
	}
	if b.Contested(ledger.Prefix, 1, 1) || b.Contested(ledger.Prefix, 2, 2) {
		t.Error("those that the one who asks has set aside are in its own way")
	}
	b.Unclaim(ledger.Prefix, 2)
	b.install(tiny("10.0.0.20/32", "10.0.0.40/32")) // or another account's, which may be anywhere
	if !b.ClaimNamed(ledger.Prefix, 1) || b.Available(ledger.Prefix) != 0 {
		t.Error("it may not be tried though nobody else is in the way")
	}
}

// What could be had by name does not end the shortage of what EC2 is to choose.
func TestTookNamed(t *testing.T) {
	b, _ := budgetOf(tiny())
	b.Lacks(ledger.Prefix, true)
	b.ClaimNamed(ledger.Prefix, 1)
	b.TookNamed("eni-a", ledger.Prefix, 1, prefixes("10.0.0.16/28"))
	if got := b.Available(ledger.Prefix); got != 0 {
		t.Errorf("%d are available, which EC2 has just denied", got)
	}
	b.Took("eni-a", ledger.Prefix, 0, nil)
	if got := b.Available(ledger.Prefix); got != 1 {
		t.Errorf("%d are available after it was over, want 1", got)
	}
}

func TestWhatItSaysOfTheSubnet(t *testing.T) {
	s := tiny("10.0.0.20/32")
	s.Unread = &cloud.Error{Class: cloud.Refused}
	b, _ := budgetOf(s)
	if b.ID != "subnet-1" || b.Bits != 26 || b.Unread == nil {
		t.Errorf("budget of %q with mask /%d, unread: %v", b.ID, b.Bits, b.Unread)
	}
	for block, want := range map[string]bool{"10.0.0.32/28": true, "10.0.0.16/28": false, "10.0.0.20/32": false, "10.9.0.0/28": false} {
		if got := b.Unused(netip.MustParsePrefix(block)); got != want {
			t.Errorf("unused %s: %t, want %t", block, got, want)
		}
	}
}

// What a node assigned a moment ago stays taken though a describe does not show it.
func TestADescribeThatLagsGivesNothingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := budgetOf(tiny())
		b.Took("eni-a", ledger.Prefix, b.Claim(ledger.Prefix, 1), prefixes("10.0.0.16/28"))
		b.install(tiny())
		if got := b.Available(ledger.Prefix); got != 1 {
			t.Errorf("%d available from a describe that lags, want 1", got)
		}
		time.Sleep(ledger.Settle + time.Second)
		b.install(tiny())
		if got := b.Available(ledger.Prefix); got != 2 {
			t.Errorf("%d available once the describe cannot lag, want 2", got)
		}
	})
}

// What other clients did to an interface counts at once, and until a describe shows it.
func TestDrift(t *testing.T) {
	b, _ := budgetOf(tiny("10.0.0.16/28"))
	b.Drifted("eni-a", ledger.Drift{Appeared: prefixes("10.0.0.32/28"), Vanished: prefixes("10.0.0.16/28")})
	for range 2 {
		if b.Unused(netip.MustParsePrefix("10.0.0.32/28")) || !b.Unused(netip.MustParsePrefix("10.0.0.16/28")) {
			t.Error("what appeared is not taken, or what vanished still is")
		}
		b.install(tiny("10.0.0.16/28")) // it lags
	}
}

// However nodes claim and give back, and however EC2 lags, nothing is promised twice (I3).
func TestI3ClaimsAndBlocksNeverExceedTheSubnet(t *testing.T) {
	blocks := prefixes("10.0.0.16/28", "10.0.0.32/28")
	rapid.Check(t, func(t *rapid.T) {
		b, _ := budgetOf(tiny())
		claimed, taken := 0, 0
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if claimed+taken > len(blocks) {
					t.Fatalf("%d blocks claimed and %d taken of %d", claimed, taken, len(blocks))
				}
				if got, want := b.Available(ledger.Prefix), len(blocks)-claimed-taken; got != want {
					t.Fatalf("%d available, want %d", got, want)
				}
			},
			"claim": func(t *rapid.T) { claimed += b.Claim(ledger.Prefix, rapid.IntRange(0, 3).Draw(t, "n")) },
			"unclaim": func(t *rapid.T) {
				n := rapid.IntRange(0, claimed).Draw(t, "n")
				b.Unclaim(ledger.Prefix, n)
				claimed -= n
			},
			"EC2 assigns": func(t *rapid.T) {
				if claimed == 0 {
					t.Skip("nothing claimed")
				}
				b.Took("eni-a", ledger.Prefix, 1, blocks[taken:taken+1])
				claimed, taken = claimed-1, taken+1
			},
			"EC2 unassigns": func(t *rapid.T) {
				if taken == 0 {
					t.Skip("nothing taken")
				}
				taken--
				b.Gave(blocks[taken : taken+1])
			},
			"a describe that lags": func(*rapid.T) { b.install(tiny()) },
		})
	})
}

// What others have in a shared subnet shows only in how much is left. One describe
// whose two answers are not of one moment takes nothing away.
func TestHiddenUse(t *testing.T) {
	shared := tiny()
	shared.Available = 20
	for name, c := range map[string]struct {
		first, then            cloud.Subnet
		hidden, blocks, single int
	}{
		"none":               {tiny(), tiny(), 0, 2, 59},
		"at the start":       {shared, shared, 39, 1, 20},
		"seen once":          {tiny(), shared, 39, 2, 59},
		"seen once too much": {shared, tiny(), 0, 2, 59},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := budgetOf(c.first)
			if got := b.install(c.then); got != c.hidden {
				t.Errorf("%d addresses are hidden, want %d", got, c.hidden)
			}
			if blocks, single := b.Available(ledger.Prefix), b.Available(ledger.SecondaryIP); blocks != c.blocks || single != c.single {
				t.Errorf("%d blocks and %d addresses available, want %d and %d", blocks, single, c.blocks, c.single)
			}
		})
	}
}

// What another client takes from one interface EC2 may give to another before the first
// is looked at.
func TestDriftedWhatIsGivenElsewhere(t *testing.T) {
	block := prefixes("10.0.0.16/28")
	for name, c := range map[string]struct {
		then func(*Budget)
		want bool
	}{
		"nobody has it":              {func(*Budget) {}, true},
		"its own, a moment ago":      {func(b *Budget) { b.Took("eni-a", ledger.Prefix, 0, block) }, true},
		"assigned to another since":  {func(b *Budget) { b.Took("eni-b", ledger.Prefix, 0, block) }, false},
		"one address to another":     {func(b *Budget) { b.Took("eni-b", ledger.SecondaryIP, 0, prefixes("10.0.0.17/32")) }, false},
		"another's, and given back":  {func(b *Budget) { b.Took("eni-b", ledger.Prefix, 0, block); b.Gave(block) }, true},
		"seen at another by itself":  {func(b *Budget) { b.Drifted("eni-b", ledger.Drift{Appeared: block}) }, false},
		"described at another's":     {func(b *Budget) { b.shown = map[string][]netip.Prefix{"eni-b": block} }, false},
		"described at its own still": {func(b *Budget) { b.shown = map[string][]netip.Prefix{"eni-a": block} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := budgetOf(tiny("10.0.0.16/28"))
			c.then(b)
			b.Drifted("eni-a", ledger.Drift{Vanished: block})
			if got := b.Unused(block[0]); got != c.want {
				t.Errorf("Unused = %t, want %t", got, c.want)
			}
		})
	}
}

// I3: a describe of an interface that may be stale is completed with what the interface has
// taken of late.
func TestI3Completed(t *testing.T) {
	const eni = "eni-a"
	for name, c := range map[string]struct {
		do   func(b *Budget)
		want []netip.Prefix
	}{
		"nothing was taken": {
			do: func(*Budget) {}, want: prefixes("10.0.0.40/32"),
		},
		"a block that was taken a moment ago": {
			do:   func(b *Budget) { b.TookNamed(eni, ledger.Prefix, 0, prefixes("10.0.0.16/28")) },
			want: prefixes("10.0.0.40/32", "10.0.0.16/28"),
		},
		"one that is shown": {
			do:   func(b *Budget) { b.TookNamed(eni, ledger.SecondaryIP, 0, prefixes("10.0.0.40/32")) },
			want: prefixes("10.0.0.40/32"),
		},
		"one that was given back": {
			do: func(b *Budget) {
				b.TookNamed(eni, ledger.Prefix, 0, prefixes("10.0.0.16/28"))
				b.Gave(prefixes("10.0.0.16/28"))
			},
			want: prefixes("10.0.0.40/32"),
		},
		"one of another interface": {
			do:   func(b *Budget) { b.TookNamed("eni-b", ledger.Prefix, 0, prefixes("10.0.0.16/28")) },
			want: prefixes("10.0.0.40/32"),
		},
		"one that a describe has to show by now": {
			do: func(b *Budget) {
				b.TookNamed(eni, ledger.Prefix, 0, prefixes("10.0.0.16/28"))
				time.Sleep(ledger.Settle + time.Second)
			},
			want: prefixes("10.0.0.40/32"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, _ := budgetOf(tiny("10.0.0.40/32"))
				c.do(b)
				if got := b.Completed(eni, prefixes("10.0.0.40/32"), time.Now()); !slices.Equal(got, c.want) {
					t.Errorf("it has %v, want %v", got, c.want)
				}
			})
		})
	}
}
