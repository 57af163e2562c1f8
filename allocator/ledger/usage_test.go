package ledger

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const nine = "10.0.0.9"

// freeAfter is how long it takes until an address is free, while EC2 shows the ENI each
// second as the ledger has it.
func freeAfter(t *testing.T, l *Ledger) time.Duration {
	t.Helper()
	for past := time.Duration(0); past <= 10*time.Minute; past += time.Second {
		now := epoch.Add(past)
		var shown []netip.Prefix
		for _, b := range l.blocks {
			shown = append(shown, b.prefix)
		}
		l.Compare(shown, now)
		l.Advance(now)
		if l.Counts().Free > 0 {
			return past
		}
	}
	t.Fatal("no address comes free")
	return 0
}

// I2: how long an address cools, however its pod has come to its end.
func TestI2Cooling(t *testing.T) {
	const pod = "pod-" + nine
	block := []string{nine + "/32"}
	held := func() *Ledger { return on(1, SecondaryIP, block, nine) }
	adopted := func() *Ledger {
		l := on(1, SecondaryIP, nil)
		l.Hold(pod, netip.MustParseAddr(nine), SecondaryIP, epoch)
		l.Sync(blocks(block...), epoch, epoch)
		return l
	}
	for name, c := range map[string]struct {
		ledger *Ledger
		do     func(l *Ledger)
		want   time.Duration
	}{
		"its pod has ended": {held(), func(l *Ledger) { l.End(pod, epoch) }, Cooldown},
		"something of its pod may still run": {
			held(), func(l *Ledger) { l.EndSlowly(pod, epoch, 20*time.Second) }, Cooldown + 20*time.Second,
		},
		"its pod was never bound": {held(), func(l *Ledger) { l.Cancel(pod, epoch) }, 0},
		"its pod was never bound, but another client's pods may use it": {
			adopted(), func(l *Ledger) { l.Cancel(pod, epoch) }, Cooldown,
		},
		"its pod has another one": {
			held(), func(l *Ledger) { l.Hold(pod, netip.MustParseAddr("10.0.0.10"), SecondaryIP, epoch) }, Cooldown,
		},
		"somebody else is seen to use it": {
			on(1, SecondaryIP, block), func(l *Ledger) { l.Quarantine(netip.MustParseAddr(nine), epoch) }, Cooldown,
		},
		"it is free, and another is seen to be used": {
			on(1, SecondaryIP, block), func(l *Ledger) { l.Quarantine(netip.MustParseAddr("10.0.0.10"), epoch) }, 0,
		},
		"another client has brought it": {
			on(1, SecondaryIP, nil), func(l *Ledger) { l.Sync(blocks(block...), epoch, epoch) }, Cooldown,
		},
		"another allocator has brought it": {
			on(1, SecondaryIP, nil), func(l *Ledger) { l.Follow(blocks(block...), epoch, epoch) }, 0,
		},
		"EC2 has assigned it": {
			on(1, SecondaryIP, nil), func(l *Ledger) {
				l.Begin(Call{Kind: SecondaryIP, Count: 1})
				l.Assigned(blocks(block...), epoch)
			}, 0,
		},
		"its block is brought back by name, whoever had it": {
			on(1, SecondaryIP, nil), func(l *Ledger) {
				l.Begin(Call{Kind: SecondaryIP, Count: 1, Names: blocks(block...), Purpose: Restoring})
				l.Assigned(blocks(block...), epoch)
			}, Cooldown,
		},
		"its block was gone when its pod ended, and is assigned again": {
			coolingAway(on(1, SecondaryIP, nil), nine), func(l *Ledger) {
				l.Begin(Call{Kind: SecondaryIP, Count: 1})
				l.Assigned(blocks(block...), epoch)
			}, Cooldown,
		},
		"its block has left while it cooled, and is assigned again": {
			endAll(held()), func(l *Ledger) {
				now := epoch.Add(Settle + time.Second)
				l.Sync(nil, now, now)
				l.Begin(Call{Kind: SecondaryIP, Count: 1})
				l.Assigned(blocks(block...), now)
			}, Cooldown,
		},
		"it was free all along": {
			on(1, SecondaryIP, nil), func(l *Ledger) {
				l.Sync(blocks(block...), epoch, epoch)
				l.Trust(blocks(nine+"/32"), epoch)
			}, 0,
		},
		"others were free all along": {
			on(1, SecondaryIP, nil), func(l *Ledger) {
				l.Sync(blocks(block...), epoch, epoch)
				l.Trust(blocks("10.0.0.8/32", "10.0.0.10/31"), epoch)
			}, Cooldown,
		},
		"it was free all along, and was given and taken back": {
			on(1, SecondaryIP, nil), func(l *Ledger) {
				l.Sync(blocks(block...), epoch, epoch)
				l.Trust(blocks(nine+"/32"), epoch)
				l.Take("new")
				l.Cancel("new", epoch)
			}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.do(c.ledger)
			away := 0
			if c.ledger.blockOf(netip.MustParseAddr(nine)) == nil {
				away = 1
			}
			if n := c.ledger.Counts(); n.Away != away {
				t.Errorf("%d addresses cool off the ENI, want %d", n.Away, away)
			}
			if got := freeAfter(t, c.ledger); got != c.want {
				t.Errorf("free after %s, want %s", got, c.want)
			}
		})
	}
}

// What others may have used is given only once EC2 has shown it after that.
func TestI10UsedByOthersIsGivenOnceEC2HasShownIt(t *testing.T) {
	block := blocks(nine + "/32")
	adopted := on(1, SecondaryIP, nil)
	adopted.Sync(block, epoch, epoch)
	quarantined := on(1, SecondaryIP, []string{nine + "/32"})
	quarantined.Quarantine(netip.MustParseAddr(nine), epoch)
	for name, l := range map[string]*Ledger{"another client has brought it": adopted, "somebody else is seen to use it": quarantined} {
		t.Run(name, func(t *testing.T) {
			now := epoch.Add(Cooldown)
			l.Advance(now)
			if c := l.Counts(); c.Free != 0 {
				t.Errorf("%d addresses are free before EC2 has shown them again", c.Free)
			}
			l.Compare(block, now)
			l.Advance(now)
			if c := l.Counts(); c.Free != 1 {
				t.Errorf("%d addresses are free after EC2 has shown them, want one", c.Free)
			}
		})
	}
}

// An address that is held here is not taken from its pod because it is seen elsewhere.
func TestQuarantineOfAnAddressThatIsHeld(t *testing.T) {
	l := on(1, SecondaryIP, []string{nine + "/32"}, nine)
	l.Quarantine(netip.MustParseAddr(nine), epoch)
	if c := l.Counts(); c.InUse != 1 || c.Cooling != 0 || c.Occupied != 1 || !l.NextFree().IsZero() {
		t.Errorf("%+v, the next free at %s; want it held as before", c, l.NextFree())
	}
}

// What cools off the ENI is counted until it has cooled.
func TestCoolingOffTheENI(t *testing.T) {
	l, end := coolingAway(on(1, SecondaryIP, nil), nine), epoch.Add(Cooldown)
	l.Advance(end.Add(-1))
	if got := l.Counts().Away; got != 1 || !l.NextFree().Equal(end) {
		t.Errorf("%d cool off the ENI, the next until %s; want one until %s", got, l.NextFree(), end)
	}
	l.Hold("later", netip.MustParseAddr("10.0.0.10"), SecondaryIP, epoch)
	l.End("later", epoch.Add(time.Second))
	l.Advance(end)
	if got, next := l.Counts().Away, end.Add(time.Second); got != 1 || !l.NextFree().Equal(next) {
		t.Errorf("%d cool off the ENI, the next until %s; want one until %s", got, l.NextFree(), next)
	}
	l.Advance(end.Add(time.Second))
	if got := l.Counts().Away; got != 0 || !l.NextFree().IsZero() {
		t.Errorf("%d cool off the ENI after the cooldown, the next until %s", got, l.NextFree())
	}
}

// An address that two pods hold stays in use until both have ended, in either order.
func TestHoldOfAnAddressThatAnotherPodHas(t *testing.T) {
	a := netip.MustParseAddr(nine)
	for name, order := range map[string][]types.UID{
		"the first ends first":  {"first", "second"},
		"the second ends first": {"second", "first"},
	} {
		t.Run(name, func(t *testing.T) {
			l := on(2, SecondaryIP, []string{nine + "/32"})
			if other := l.Hold("first", a, SecondaryIP, epoch); other != "" {
				t.Errorf("%q holds it before", other)
			}
			if other := l.Hold("second", a, SecondaryIP, epoch); other != "first" {
				t.Errorf("%q holds it before, want the first", other)
			}
			if other := l.Hold("first", a, SecondaryIP, epoch); other != "second" {
				t.Errorf("%q holds it too, want the second", other)
			}
			l.End(order[0], epoch)
			if c := l.Counts(); c.InUse != 1 || c.InUseOfMode != 1 || c.Cooling != 0 || len(l.idle(SecondaryIP)) != 0 {
				t.Errorf("after one end: %+v, idle %v; want it in use", c, l.idle(SecondaryIP))
			}
			l.End(order[1], epoch)
			if c := l.Counts(); c.InUse != 0 || c.InUseOfMode != 0 || c.Cooling != 1 {
				t.Errorf("after both have ended: %+v; want it to cool", c)
			}
		})
	}
}

func TestWaiting(t *testing.T) {
	l := on(2, SecondaryIP, []string{nine + "/32"}, nine)
	l.Wait("one")
	l.Wait("two")
	l.Wait("one")
	l.Wait("pod-" + nine)
	if c := l.Counts(); c.Waiting != 2 {
		t.Errorf("%d pods wait, want two", c.Waiting)
	}
	if a, known := l.Holder("two"); a.IsValid() || !known {
		t.Errorf("Holder() of a pod that waits = %s, %t", a, known)
	}
	if a, known := l.Holder("three"); a.IsValid() || known {
		t.Errorf("Holder() of a pod that nobody knows = %s, %t", a, known)
	}
	l.End("one", epoch)
	l.Cancel("pod-"+nine, epoch)
	want := Grant{Pod: "two", Address: netip.MustParseAddr(nine), Kind: SecondaryIP}
	if g := l.Serve(); !slices.Equal(g, []Grant{want}) {
		t.Errorf("Serve() = %v, want %v", g, want)
	}
	if g, ok := l.Take("two"); !ok || g != want {
		t.Errorf("Take() of a pod that has an address = %v, %t; want the same", g, ok)
	}
	if c := l.Counts(); c.Waiting != 0 || c.InUse != 1 {
		t.Errorf("%d pods wait, %d have an address; want none and one", c.Waiting, c.InUse)
	}
}

func TestTakeChoosesTheLongestFreeAddressOfAPrefix(t *testing.T) {
	var all []string
	for a := netip.MustParseAddr("10.0.0.16"); len(all) < 16; a = a.Next() {
		all = append(all, a.String())
	}
	l := on(1, Prefix, []string{"10.0.0.16/28"}, all...)
	for i, a := range []string{"10.0.0.21", "10.0.0.18", "10.0.0.25"} {
		l.End(types.UID("pod-"+a), epoch.Add(time.Duration(i)*time.Second))
	}
	now := epoch.Add(2 * Cooldown)
	l.Compare(blocks("10.0.0.16/28"), now)
	l.Advance(now)
	for _, want := range []string{"10.0.0.21", "10.0.0.18", "10.0.0.25"} {
		if g, ok := l.Take(types.UID("new-" + want)); !ok || g.Address.String() != want {
			t.Errorf("Take() = %s, %t; want %s", g.Address, ok, want)
		}
	}
}

// The list of free addresses has neither what is held, nor what cools, nor what goes.
func TestFree(t *testing.T) {
	l := on(9, Prefix, []string{"10.0.0.9/32", "10.0.0.10/32", "10.0.0.16/28", "10.0.0.32/28", "10.0.0.48/28"}, "10.0.0.16", "10.0.0.47")
	l.End("pod-10.0.0.47", epoch)
	l.Begin(Call{Kind: Prefix, Blocks: blocks("10.0.0.48/28")})
	want := blocks("10.0.0.9/32", "10.0.0.10/32", "10.0.0.17/32", "10.0.0.18/31", "10.0.0.20/30", "10.0.0.24/29",
		"10.0.0.32/29", "10.0.0.40/30", "10.0.0.44/31", "10.0.0.46/32")
	if got := l.Free(); !slices.Equal(got, want) {
		t.Errorf("Free() = %v, want %v", got, want)
	}
}

func TestKindAt(t *testing.T) {
	l := on(9, Prefix, []string{"10.0.0.9/32", "10.0.0.16/28"})
	for a, want := range map[string]Kind{"10.0.0.9": SecondaryIP, "10.0.0.16": Prefix, "10.0.0.31": Prefix, "10.0.0.32": SecondaryIP} {
		if got := l.KindAt(netip.MustParseAddr(a)); got != want {
			t.Errorf("KindAt(%s) = %s, want %s", a, got, want)
		}
	}
}
