package ledger

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestNeed(t *testing.T) {
	for name, c := range map[string]struct {
		counts Counts
		want   int
	}{
		"nobody waits":               {Counts{Mode: Prefix, Free: 3}, 0},
		"what is free is enough":     {Counts{Mode: Prefix, Free: 3, Waiting: 3}, 0},
		"one more than is free":      {Counts{Mode: Prefix, Free: 3, Waiting: 4}, 1},
		"a call brings it":           {Counts{Mode: Prefix, Free: 3, Waiting: 19, Arriving: 1}, 0},
		"a call brings too little":   {Counts{Mode: Prefix, Free: 3, Waiting: 20, Arriving: 1}, 1},
		"two calls' worth":           {Counts{Mode: Prefix, Free: 3, Waiting: 52, Arriving: 1}, 3},
		"secondary IPs on their way": {Counts{Mode: SecondaryIP, Waiting: 5, Arriving: 2}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.counts.Need(); got != c.want {
				t.Errorf("Need = %d, want %d", got, c.want)
			}
		})
	}
}

// A block counts as occupied while something of it is held or cools.
func TestOccupied(t *testing.T) {
	cools := on(3, SecondaryIP, []string{"10.0.0.9/32"}, "10.0.0.9")
	for name, c := range map[string]struct {
		ledger *Ledger
		want   int
	}{
		"all idle":                  {on(3, SecondaryIP, []string{"10.0.0.9/32", "10.0.0.10/32"}), 0},
		"one held":                  {on(3, SecondaryIP, []string{"10.0.0.9/32", "10.0.0.10/32"}, "10.0.0.9"), 1},
		"one that only cools":       {endAll(cools), 1},
		"as many held as cool":      {mixed(), 1},
		"a block of the other mode": {on(3, Prefix, []string{"10.0.0.9/32"}, "10.0.0.9"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.ledger.Counts().Occupied; got != c.want {
				t.Errorf("%d blocks are occupied, want %d", got, c.want)
			}
		})
	}
}

// mixed is a prefix of which one address is held and one cools.
func mixed() *Ledger {
	l := on(1, Prefix, []string{"10.0.0.16/28"}, "10.0.0.16", "10.0.0.17")
	l.End("pod-10.0.0.17", epoch)
	return l
}

// What is counted once pods have ended.
func TestAfterCounts(t *testing.T) {
	victims := []types.UID{"pod-10.0.0.16", "pod-10.0.0.9"}
	for name, c := range map[string]struct {
		ledger                      *Ledger
		inUse, free, open, returned int
	}{
		"of a prefix in prefix mode":           {mixed(), 0, 16, 0, 0},
		"a secondary IP in prefix mode":        {on(1, Prefix, []string{"10.0.0.9/32"}, "10.0.0.9"), 0, 0, 1, 0},
		"a prefix in secondary IP mode":        {on(1, SecondaryIP, []string{"10.0.0.16/28"}, "10.0.0.16"), 0, 0, 1, 16},
		"a prefix of which another is held":    {on(1, SecondaryIP, []string{"10.0.0.16/28"}, "10.0.0.16", "10.0.0.17"), 1, 0, 0, 0},
		"a block of the mode that leaves":      {leaving(), 0, 0, 1, 1},
		"pods that hold nothing bring nothing": {on(1, SecondaryIP, []string{"10.0.0.10/32"}, "10.0.0.10"), 1, 0, 0, 0},
		"a secondary IP, and what others hold": {on(2, SecondaryIP, []string{"10.0.0.9/32", "10.0.0.10/32"}, "10.0.0.9", "10.0.0.10"), 1, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, returned := c.ledger.After(victims)
			if got.InUse != c.inUse || got.Free != c.free || got.Open != c.open || returned != c.returned || got.Cooling != 0 {
				t.Errorf("After = %+v, %d returned; want %d in use, %d free, %d open, %d returned", got, returned, c.inUse, c.free, c.open, c.returned)
			}
		})
	}
}

// leaving is a secondary IP that is being given back.
func leaving() *Ledger {
	l := on(1, SecondaryIP, []string{"10.0.0.9/32"})
	l.Begin(Call{Kind: SecondaryIP, Blocks: blocks("10.0.0.9/32")})
	return l
}
