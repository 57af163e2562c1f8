package ledger

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

var epoch = time.Unix(1_000_000, 0)

// on makes a ledger whose ENI has the given blocks, all of whose addresses are
// free, and on which pods hold the given addresses.
func on(slots int, mode Kind, blocks []string, held ...string) *Ledger {
	l := New(slots, mode)
	for _, b := range blocks {
		l.add(newBlock(netip.MustParsePrefix(b), epoch), epoch)
	}
	for _, a := range held {
		l.Hold(types.UID("pod-"+a), netip.MustParseAddr(a), mode, epoch)
	}
	return l
}

// endAll lets every pod of a ledger end.
func endAll(l *Ledger) *Ledger {
	for pod := range l.holders {
		l.End(pod, epoch)
	}
	return l
}

func waitFor(l *Ledger, pods int) *Ledger {
	for i := range pods {
		l.Wait(types.UID(fmt.Sprint("waiting-", i)))
	}
	return l
}

func blocks(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

var samePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		ledger     *Ledger
		want, room int
		plan       Call
		nothing    bool
	}{
		"an empty ENI is warmed": {
			ledger: on(14, Prefix, nil), want: 1, room: 100,
			plan: Call{Kind: Prefix, Count: 1, Purpose: Warming},
		},
		"enough is enough": {
			ledger: on(14, Prefix, []string{"10.0.0.16/28"}), want: 1, room: 100, nothing: true,
		},
		"pods that wait take the pool's share along in one call": {
			ledger: waitFor(on(14, Prefix, nil), 20), want: 3, room: 100,
			plan: Call{Kind: Prefix, Count: 3, Purpose: Waiting},
		},
		"no more than the ENI has slots": {
			ledger: waitFor(on(2, SecondaryIP, []string{"10.0.0.9/32"}, "10.0.0.9"), 5), want: 9, room: 100,
			plan: Call{Kind: SecondaryIP, Count: 1, Purpose: Waiting},
		},
		"no more than the subnet has": {
			ledger: on(14, Prefix, nil), want: 5, room: 3,
			plan: Call{Kind: Prefix, Count: 3, Purpose: Warming},
		},
		"a full subnet is not asked": {
			ledger: waitFor(on(14, Prefix, nil), 1), want: 1, room: 0, nothing: true,
		},
		"to prefixes: free secondary IPs go, held ones stay": {
			ledger: on(3, Prefix, []string{"10.0.0.9/32", "10.0.0.10/32", "10.0.0.11/32"}, "10.0.0.10"), want: 1, room: 100,
			plan: Call{Kind: SecondaryIP, Blocks: blocks("10.0.0.9/32", "10.0.0.11/32"), Purpose: Release},
		},
		"to prefixes: slots are cleared at once when pods wait for them": {
			ledger: waitFor(on(1, Prefix, []string{"10.0.0.9/32"}), 1), want: 1, room: 100,
			plan: Call{Kind: SecondaryIP, Blocks: blocks("10.0.0.9/32"), Purpose: Waiting},
		},
		"to secondary IPs: a prefix goes when it is wholly free": {
			ledger: on(14, SecondaryIP, []string{"10.0.0.16/28", "10.0.0.32/28"}, "10.0.0.40"), want: 3, room: 100,
			plan: Call{Kind: Prefix, Blocks: blocks("10.0.0.16/28"), Purpose: Release},
		},
		"surplus is given back": {
			ledger: on(14, Prefix, []string{"10.0.0.16/28", "10.0.0.32/28", "10.0.0.48/28"}, "10.0.0.20"), want: 2, room: 100,
			plan: Call{Kind: Prefix, Blocks: blocks("10.0.0.32/28"), Purpose: Release},
		},
		"surplus in use stays": {
			ledger: on(14, Prefix, []string{"10.0.0.16/28", "10.0.0.32/28"}, "10.0.0.20", "10.0.0.40"), want: 1, room: 100, nothing: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := c.ledger.Plan(c.want, c.room)
			if ok == c.nothing {
				t.Fatalf("Plan() = %+v, %v", got, ok)
			}
			if diff := cmp.Diff(c.plan, got, samePrefix); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTakeChoosesTheFullestPrefix(t *testing.T) {
	l := on(14, Prefix, []string{"10.0.0.16/28", "10.0.0.32/28"}, "10.0.0.33", "10.0.0.34")
	g, ok := l.Take("new")
	if want := netip.MustParseAddr("10.0.0.32"); !ok || g.Address != want {
		t.Errorf("Take() = %s, %v; want %s", g.Address, ok, want)
	}
}

func TestTakeChoosesTheLongestFreeAddress(t *testing.T) {
	l := on(14, SecondaryIP, []string{"10.0.0.8/32", "10.0.0.9/32"}, "10.0.0.8", "10.0.0.9")
	l.End("pod-10.0.0.9", epoch)
	l.End("pod-10.0.0.8", epoch.Add(time.Second))
	l.Compare(blocks("10.0.0.8/32", "10.0.0.9/32"), epoch.Add(time.Second+Settle))
	l.Advance(epoch.Add(time.Second + Cooldown))
	g, ok := l.Take("new")
	if want := netip.MustParseAddr("10.0.0.9"); !ok || g.Address != want {
		t.Errorf("Take() = %s, %v; want %s", g.Address, ok, want)
	}
}

func TestTakeDoesNotOvertakeThoseWhoWait(t *testing.T) {
	l := on(14, Prefix, []string{"10.0.0.16/28"})
	l.Wait("first")
	if g, ok := l.Take("second"); ok {
		t.Errorf("Take() = %s while another pod waits", g.Address)
	}
	if g := l.Serve(); len(g) != 1 || g[0].Pod != "first" {
		t.Errorf("Serve() = %v", g)
	}
}

// The documented example: a t3.xlarge with 10 pods on secondary IPs, switched
// to prefix delegation. AWS's controller advertises 14 x 16 = 224.
func TestRemainingInTheMiddleOfASwitch(t *testing.T) {
	var ips, held []string
	for i := range 10 {
		a := fmt.Sprintf("10.0.0.%d", 50+i)
		ips, held = append(ips, a+"/32"), append(held, a)
	}
	for name, c := range map[string]struct {
		ledger *Ledger
		room   int
		want   int
	}{
		"four slots are left":                     {on(14, Prefix, ips, held...), 100, 64},
		"two blocks are left in the subnet":       {on(14, Prefix, ips, held...), 2, 32},
		"pods that wait have their share already": {waitFor(on(14, Prefix, ips, held...), 5), 100, 59},
		"a free secondary IP is no capacity":      {on(14, Prefix, ips, held[1:]...), 100, 64},
		"the way back: seven slots are empty":     {on(14, SecondaryIP, sevenPrefixes), 100, 7},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.ledger.Counts().Remaining(c.room); got != c.want {
				t.Errorf("remaining = %d, want %d", got, c.want)
			}
		})
	}
}

var sevenPrefixes = []string{"10.0.1.0/28", "10.0.1.16/28", "10.0.1.32/28", "10.0.1.48/28", "10.0.1.64/28", "10.0.1.80/28", "10.0.1.96/28"}

func TestAfterEvictions(t *testing.T) {
	for name, c := range map[string]struct {
		ledger  *Ledger
		victims []types.UID
		want    int
	}{
		"an address of a prefix":            {on(1, Prefix, []string{"10.0.0.16/28"}, "10.0.0.16"), []types.UID{"pod-10.0.0.16"}, 16},
		"a secondary IP makes way":          {on(1, Prefix, []string{"10.0.0.9/32"}, "10.0.0.9"), []types.UID{"pod-10.0.0.9"}, 16},
		"part of an old prefix does not":    {on(1, SecondaryIP, []string{"10.0.0.16/28"}, "10.0.0.16", "10.0.0.17"), []types.UID{"pod-10.0.0.16"}, 0},
		"all of an old prefix does":         {on(1, SecondaryIP, []string{"10.0.0.16/28"}, "10.0.0.16", "10.0.0.17"), []types.UID{"pod-10.0.0.16", "pod-10.0.0.17"}, 1},
		"what cools comes back by itself":   {endAll(on(1, SecondaryIP, []string{"10.0.0.9/32"}, "10.0.0.9")), nil, 1},
		"an old prefix that only cools":     {endAll(on(1, SecondaryIP, []string{"10.0.0.16/28"}, "10.0.0.16")), nil, 1},
		"an old prefix that is idle":        {on(1, SecondaryIP, []string{"10.0.0.16/28"}), nil, 1},
		"pods of other nodes bring nothing": {on(1, SecondaryIP, []string{"10.0.0.9/32"}, "10.0.0.9"), []types.UID{"elsewhere"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			counts, returned := c.ledger.After(c.victims)
			if got := counts.Remaining(returned + 1); got != c.want {
				t.Errorf("remaining = %d, want %d", got, c.want)
			}
		})
	}
}
