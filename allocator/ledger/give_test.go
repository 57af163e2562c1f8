package ledger

import (
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Which of several blocks an address is taken from.
func TestTakeChoosesTheBlock(t *testing.T) {
	at := func(second int) time.Time { return epoch.Add(time.Duration(second) * time.Second) }
	for name, c := range map[string]struct {
		ledger func() *Ledger
		want   string
	}{
		"blocks of the other mode are passed over": {func() *Ledger {
			return on(9, Prefix, []string{"10.0.0.9/32", "10.0.0.16/28"})
		}, "10.0.0.16"},
		"a block that leaves is passed over": {func() *Ledger {
			l := on(9, SecondaryIP, []string{"10.0.0.9/32", "10.0.0.10/32"})
			l.Begin(Call{Kind: SecondaryIP, Blocks: blocks("10.0.0.9/32")})
			return l
		}, "10.0.0.10"},
		"of two that are as full, the first": {func() *Ledger {
			return on(9, SecondaryIP, []string{"10.0.0.9/32", "10.0.0.10/32"})
		}, "10.0.0.9"},
		"of two that are as full, the one that was free first": {func() *Ledger {
			l := New(9, SecondaryIP)
			l.add(newBlock(netip.MustParsePrefix("10.0.0.9/32"), at(2)), at(2))
			l.add(newBlock(netip.MustParsePrefix("10.0.0.10/32"), at(1)), at(2))
			return l
		}, "10.0.0.10"},
		"the fuller one, however short it has been free": {func() *Ledger {
			l := New(9, Prefix)
			l.add(newBlock(netip.MustParsePrefix("10.0.0.16/28"), at(2)), at(2))
			l.add(newBlock(netip.MustParsePrefix("10.0.0.32/28"), at(1)), at(2))
			l.Hold("pod", netip.MustParseAddr("10.0.0.16"), Prefix, at(2))
			return l
		}, "10.0.0.17"},
	} {
		t.Run(name, func(t *testing.T) {
			if g, ok := c.ledger().Take("new"); !ok || g.Address.String() != c.want {
				t.Errorf("Take = %+v, %t; want %s", g, ok, c.want)
			}
		})
	}
}

// I2: what is promised to have been free is free at once; the others go on as they are.
func TestI2Trust(t *testing.T) {
	now := epoch.Add(time.Minute)
	l := on(9, SecondaryIP, []string{"10.0.0.12/32"}) // free all the time
	l.Hold("pod", netip.MustParseAddr("10.0.0.16"), Prefix, now)
	l.Sync(blocks("10.0.0.10/32", "10.0.0.11/32", "10.0.0.12/32", "10.0.0.16/28"), now, now)
	l.Trust(blocks("10.0.0.11/32", "10.0.0.12/32", "10.0.0.16/28"), now)
	if c := l.Counts(); c.Cooling != 1 {
		t.Errorf("%d addresses cool, want 10.0.0.10 alone", c.Cooling)
	}
	if a, _ := l.Holder("pod"); a != netip.MustParseAddr("10.0.0.16") {
		t.Errorf("the pod that lives there holds %s", a)
	}
	for i, want := range []string{"10.0.0.12", "10.0.0.11"} { // the one that has been free longest first
		if g, ok := l.Take(types.UID(strconv.Itoa(i))); !ok || g.Address.String() != want {
			t.Errorf("Take = %+v, %t; want %s", g, ok, want)
		}
	}
	if g, ok := l.Take("late"); ok {
		t.Errorf("%s is given, which nobody has promised", g.Address)
	}
	// What was held says nothing of who had the address before.
	l.Cancel("pod", now)
	if c := l.Counts(); c.Cooling != 2 {
		t.Errorf("%d addresses cool, want 10.0.0.16 too", c.Cooling)
	}
}

// A block comes back while addresses of several blocks cool off the ENI: its own go on
// cooling in it, and the others stay where they are.
func TestI2BlockThatComesBack(t *testing.T) {
	var elsewhere []string
	for i := range 16 {
		elsewhere = append(elsewhere, fmt.Sprintf("10.0.1.%d/32", i))
	}
	l := on(20, SecondaryIP, append([]string{"10.0.0.9/32"}, elsewhere...))
	for _, b := range l.blocks {
		l.Hold(types.UID(b.prefix.String()), b.prefix.Addr(), SecondaryIP, epoch)
	}
	all := append(blocks(elsewhere...), blocks("10.0.0.9/32")...)
	endAll(l)
	l.strand(all)
	if c := l.Counts(); c.Away != 17 {
		t.Fatalf("%d cool off the ENI, want 17", c.Away)
	}
	l.add(newBlock(netip.MustParsePrefix("10.0.0.9/32"), epoch), epoch)
	if c := l.Counts(); c.Away != 16 || c.Cooling != 1 {
		t.Errorf("%d cool off the ENI and %d on it, want 16 and 1", c.Away, c.Cooling)
	}
}

// What a describe shows is nothing to wait for while nothing cools.
func TestNextFree(t *testing.T) {
	l := on(1, SecondaryIP, []string{"10.0.0.9/32"}, "10.0.0.9")
	l.Compare(blocks("10.0.0.9/32"), epoch.Add(time.Minute))
	if got := l.NextFree(); !got.IsZero() {
		t.Errorf("NextFree = %s, though nothing cools", got)
	}
	l.End("pod-10.0.0.9", epoch)
	if got, want := l.NextFree(), epoch.Add(Cooldown); !got.Equal(want) {
		t.Errorf("NextFree = %s, want %s", got, want)
	}
}
