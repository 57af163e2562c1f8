package budget

import (
	"net/netip"
	"slices"
	"sync"
	"testing"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

// wide is a subnet in which no node lacks anything: 254 prefixes.
func wide() cloud.Subnet {
	return cloud.Subnet{ID: "subnet-1", CIDR: netip.MustParsePrefix("10.0.0.0/20"), Available: 4091}
}

// What the listener is told when Notify is called after what was done, and how many
// prefixes it finds available then.
func TestNotify(t *testing.T) {
	for name, c := range map[string]struct {
		subnet cloud.Subnet
		do     func(b *Budget)
		want   []told
	}{
		"nothing was done":            {tiny(), func(*Budget) {}, nil},
		"a subnet that is described":  {tiny(), func(b *Budget) { b.install(tiny()) }, nil},
		"nothing could be claimed":    {tiny("10.0.0.16/28", "10.0.0.32/28"), func(b *Budget) { b.Claim(ledger.Prefix, 1) }, nil},
		"a claim":                     {tiny(), func(b *Budget) { b.Claim(ledger.Prefix, 1) }, []told{{available: 1}}},
		"one in a wide subnet":        {wide(), func(b *Budget) { b.Claim(ledger.Prefix, 1) }, nil},
		"one that makes it less":      {wide(), func(b *Budget) { b.Claim(ledger.Prefix, 254-NotifyBelow+1) }, []told{{available: NotifyBelow - 1}}},
		"one that does not yet":       {wide(), func(b *Budget) { b.Claim(ledger.Prefix, 254-NotifyBelow) }, nil},
		"a refusal":                   {wide(), func(b *Budget) { b.Lacks(ledger.Prefix, true) }, []told{{}}},
		"a block is given back":       {tiny("10.0.0.16/28"), func(b *Budget) { b.Gave(prefixes("10.0.0.16/28")) }, []told{{grew: true, available: 2}}},
		"more is claimed than before": {tiny(), func(b *Budget) { b.Claim(ledger.Prefix, 2); b.Unclaim(ledger.Prefix, 1) }, []told{{grew: true, available: 1}}},
		"growth that is gone again":   {tiny("10.0.0.16/28"), func(b *Budget) { b.Gave(prefixes("10.0.0.16/28")); b.Claim(ledger.Prefix, 2) }, []told{{grew: true}}},
		"a change that others undo":   {tiny(), func(b *Budget) { b.Claim(ledger.Prefix, 1); b.Unclaim(ledger.Prefix, 1) }, []told{{grew: true, available: 2}}},
		"what is claimed is assigned": {tiny(), func(b *Budget) {
			b.Claim(ledger.Prefix, 1)
			b.Notify()
			b.Took("eni-a", ledger.Prefix, 1, prefixes("10.0.0.16/28"))
		}, []told{{available: 1}, {available: 1}}},
		"a describe that shows growth": {tiny("10.0.0.16/28"), func(b *Budget) { b.install(tiny()) }, []told{{grew: true, available: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			b, l := budgetOf(c.subnet)
			c.do(b)
			b.Notify()
			if got := l.all(); !slices.Equal(got, c.want) {
				t.Errorf("told %+v, want %+v", got, c.want)
			}
			b.Notify()
			if got := l.all(); got != nil {
				t.Errorf("told %+v once more", got)
			}
		})
	}
}

// A node changes a budget with its own lock held, which the listener will want.
func TestOnlyNotifyTells(t *testing.T) {
	b, l := budgetOf(tiny("10.0.0.16/28"))
	b.Claim(ledger.Prefix, 1)
	b.Unclaim(ledger.Prefix, 1)
	b.Lacks(ledger.Prefix, true)
	b.Gave(prefixes("10.0.0.16/28"))
	b.Took("eni-a", ledger.Prefix, b.Claim(ledger.Prefix, 1), prefixes("10.0.0.16/28"))
	b.Drifted("eni-a", ledger.Drift{Vanished: prefixes("10.0.0.16/28")})
	b.install(tiny())
	if got := l.all(); got != nil {
		t.Errorf("told %+v before Notify", got)
	}
}

// A listener may change the budget in turn: what comes up while it is told is told by the
// next Notify, its own or another.
func TestNotifyFromTheListener(t *testing.T) {
	b, l := budgetOf(tiny())
	l.react = func() {
		if b.Claim(ledger.Prefix, 1) > 0 {
			b.Notify()
		}
	}
	b.Claim(ledger.Prefix, 1)
	b.Notify()
	if got, want := l.all(), []told{{available: 1}, {available: 0}}; !slices.Equal(got, want) {
		t.Errorf("told %+v, want %+v", got, want)
	}
	l.react = func() { b.Unclaim(ledger.Prefix, 1); l.react = nil }
	b.Unclaim(ledger.Prefix, 1)
	b.Notify()
	b.Notify()
	if got, want := l.all(), []told{{grew: true, available: 1}, {grew: true, available: 2}}; !slices.Equal(got, want) {
		t.Errorf("told %+v, want %+v", got, want)
	}
}

// However many change it side by side and tell of it, once all have told the listener has
// been told after the last change, and of each growth after it was there.
func TestNotifyLosesNothing(t *testing.T) {
	for range 200 {
		b, l := budgetOf(tiny())
		var nodes sync.WaitGroup
		for range 4 {
			nodes.Go(func() {
				for range 20 {
					got := b.Claim(ledger.Prefix, 1)
					b.Notify()
					b.Unclaim(ledger.Prefix, got)
					b.Notify()
				}
			})
		}
		nodes.Wait()
		all := l.all()
		if len(all) == 0 || all[len(all)-1].available != 2 {
			t.Fatalf("the listener was told last %+v of what is 2 now", all[max(0, len(all)-1):])
		}
		least := slices.IndexFunc(all, func(x told) bool { return x.available < 2 })
		if least >= 0 && !slices.ContainsFunc(all[least:], func(x told) bool { return x.grew }) {
			t.Fatal("it was never told of growth")
		}
	}
}
