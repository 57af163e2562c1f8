package warmpool

import (
	"testing"

	"pgregory.net/rapid"

	"slotwise.dev/slotwise/allocator/ledger"
)

func TestPrefixes(t *testing.T) {
	for name, c := range map[string]struct {
		targets Targets
		pods    int
		want    int
	}{
		"defaults, no pod":                          {Targets{}, 0, 1},
		"defaults, one short of a prefix":           {Targets{}, 15, 1},
		"defaults, a full prefix":                   {Targets{}, 16, 2},
		"a warm prefix":                             {Targets{WarmPrefixes: new(1)}, 5, 2},
		"warm IPs spill over":                       {Targets{WarmIPs: new(5)}, 12, 2},
		"warm IPs and minimum":                      {Targets{WarmIPs: new(7), MinimumIPs: new(20)}, 26, 3},
		"minimum alone, warm IPs at the default":    {Targets{MinimumIPs: new(40)}, 0, 3},
		"warm IPs override warm prefixes":           {Targets{WarmPrefixes: new(5), WarmIPs: new(1)}, 0, 1},
		"the minimum overrides warm prefixes":       {Targets{WarmPrefixes: new(5), MinimumIPs: new(3)}, 0, 1},
		"zero and negative values mean the default": {Targets{WarmPrefixes: new(0), WarmIPs: new(-1), MinimumIPs: new(0)}, 16, 2},
		"a zero does not override warm prefixes":    {Targets{WarmPrefixes: new(2), WarmIPs: new(0)}, 5, 3},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.targets.Prefixes(c.pods, prefixesFor(c.pods)); got != c.want {
				t.Errorf("Prefixes(%d pods) = %d, want %d", c.pods, got, c.want)
			}
		})
	}
}

func TestSecondaryIPs(t *testing.T) {
	for name, c := range map[string]struct {
		targets Targets
		pods    int
		want    int
	}{
		"warm beyond the need":            {Targets{WarmIPs: new(1), MinimumIPs: new(0)}, 5, 6},
		"warm beyond a met minimum":       {Targets{WarmIPs: new(1), MinimumIPs: new(3)}, 3, 4},
		"the minimum asks for more":       {Targets{WarmIPs: new(5), MinimumIPs: new(10)}, 0, 10},
		"warm asks for more":              {Targets{WarmIPs: new(10), MinimumIPs: new(10)}, 10, 20},
		"defaults":                        {Targets{}, 0, 3},
		"defaults with pods":              {Targets{}, 7, 10},
		"zero warm IPs mean one":          {Targets{WarmIPs: new(0), MinimumIPs: new(0)}, 4, 5},
		"negative values mean defaults":   {Targets{WarmIPs: new(-4), MinimumIPs: new(-4)}, 2, 5},
		"warm prefixes mean nothing here": {Targets{WarmPrefixes: new(9)}, 2, 5},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.targets.SecondaryIPs(c.pods); got != c.want {
				t.Errorf("SecondaryIPs(%d pods) = %d, want %d", c.pods, got, c.want)
			}
		})
	}
}

// What the counts of a ledger mean for the target: only pods that are on blocks of the mode,
// or will be, and blocks of the mode that are occupied.
func TestWant(t *testing.T) {
	warm := Targets{WarmPrefixes: new(1)}
	for name, c := range map[string]struct {
		targets Targets
		counts  ledger.Counts
		want    int
	}{
		"secondary IPs":                  {Targets{}, ledger.Counts{Mode: ledger.SecondaryIP, InUseOfMode: 5, Waiting: 2}, 10},
		"secondary IPs, beside prefixes": {Targets{}, ledger.Counts{Mode: ledger.SecondaryIP, InUse: 50, InUseOfMode: 5}, 8},
		"prefixes":                       {Targets{}, ledger.Counts{Mode: ledger.Prefix, InUseOfMode: 14, Waiting: 2}, 2},
		"prefixes, beside secondary IPs": {Targets{}, ledger.Counts{Mode: ledger.Prefix, InUse: 50, InUseOfMode: 5}, 1},
		"warm prefixes, what is occupied and what is needed": {
			warm, ledger.Counts{Mode: ledger.Prefix, Occupied: 2, Waiting: 20}, 5,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.targets.Want(c.counts); got != c.want {
				t.Errorf("Want = %d, want %d", got, c.want)
			}
		})
	}
}

// The pool always covers the pods, and never shrinks when pods are added.
func TestTargetsCoverTheNeed(t *testing.T) {
	optional := rapid.Ptr(rapid.IntRange(-5, 300), true)
	rapid.Check(t, func(t *rapid.T) {
		targets := Targets{
			WarmPrefixes: optional.Draw(t, "warm-prefix"),
			WarmIPs:      optional.Draw(t, "warm-ip"),
			MinimumIPs:   optional.Draw(t, "minimum-ip"),
		}
		pods := rapid.IntRange(0, 500).Draw(t, "pods")
		prefixes, next := targets.Prefixes(pods, prefixesFor(pods)), targets.Prefixes(pods+1, prefixesFor(pods+1))
		if prefixes*ledger.Prefix.Addresses() < pods || next < prefixes {
			t.Errorf("%d prefixes for %d pods, %d for one more", prefixes, pods, next)
		}
		ips, nextIPs := targets.SecondaryIPs(pods), targets.SecondaryIPs(pods+1)
		if ips <= pods || nextIPs < ips {
			t.Errorf("%d secondary IPs for %d pods, %d for one more", ips, pods, nextIPs)
		}
	})
}
