package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"
)

// begun is a ledger with a call in flight.
func begun(l *Ledger, c Call) *Ledger {
	l.Begin(c)
	return l
}

// lost is a ledger with a call whose answer was lost.
func lost(l *Ledger, c Call, at time.Time) *Ledger {
	l.Begin(c)
	l.Lost(at)
	return l
}

// unassignedAt is a ledger whose blocks of the call EC2 has unassigned.
func unassignedAt(l *Ledger, c Call, at time.Time) *Ledger {
	l.Begin(c)
	l.Unassigned(at)
	return l
}

// TestSync: what a describe says, which may lag by Settle, and what becomes of a call
// whose answer was lost.
func TestSync(t *testing.T) {
	const before, now = 2 * Settle, time.Hour // before: long after the blocks were assigned
	assign := func(k Kind, n int) Call { return Call{Kind: k, Count: n} }
	release := func(texts ...string) Call { return Call{Kind: SecondaryIP, Blocks: blocks(texts...)} }
	two := func() *Ledger { return on(9, SecondaryIP, []string{"10.0.0.8/32", "10.0.0.9/32"}, "10.0.0.8") }
	at := epoch.Add(before)
	for name, c := range map[string]struct {
		ledger   *Ledger
		observed []string
		asOf     time.Duration
		want     Drift
		doubt    bool // about a call, afterwards
		open     int  // slots, afterwards
	}{
		"all as it should be": {
			ledger: two(), observed: []string{"10.0.0.8/32", "10.0.0.9/32"}, asOf: before, open: 7,
		},
		"a block was assigned a moment ago": {
			ledger: on(9, SecondaryIP, []string{"10.0.0.9/32"}), asOf: Settle, open: 8,
		},
		"a block was assigned a while ago": {
			ledger: on(9, SecondaryIP, []string{"10.0.0.9/32"}), asOf: Settle + 1,
			want: Drift{Vanished: blocks("10.0.0.9/32")}, open: 9,
		},
		"what is shown has made way for a block that was assigned a moment ago": {
			ledger: on(9, Prefix, []string{"10.0.0.0/28"}), observed: []string{"10.0.0.9/32"}, asOf: Settle, open: 8,
		},
		"what is shown is in the place of a block that is gone": {
			ledger: on(9, Prefix, []string{"10.0.0.0/28"}, "10.0.0.8", "10.0.0.9"), observed: []string{"10.0.0.9/32"}, asOf: Settle + 1,
			want: Drift{Appeared: blocks("10.0.0.9/32"), Vanished: blocks("10.0.0.0/28"), Stranded: []types.UID{"pod-10.0.0.8"}}, open: 8,
		},
		"a block was unassigned a moment ago": {
			ledger: unassignedAt(two(), release("10.0.0.9/32"), at), observed: []string{"10.0.0.8/32", "10.0.0.9/32"}, asOf: before + Settle, open: 8,
		},
		"a block was unassigned a while ago": {
			ledger: unassignedAt(two(), release("10.0.0.9/32"), at), observed: []string{"10.0.0.8/32", "10.0.0.9/32"}, asOf: before + Settle + 1,
			want: Drift{Appeared: blocks("10.0.0.9/32")}, open: 7,
		},
		"another client has been there": {
			ledger: two(), observed: []string{"10.0.0.16/28", "10.0.0.9/32"}, asOf: before,
			want: Drift{
				Appeared: blocks("10.0.0.16/28"), Vanished: blocks("10.0.0.8/32"), Stranded: []types.UID{"pod-10.0.0.8"},
			}, open: 7,
		},
		"a call is in flight": {
			ledger: begun(two(), assign(Prefix, 1)), observed: []string{"10.0.0.16/28"}, asOf: before, open: 6,
		},
		"an assign in doubt is shown": {
			ledger: lost(two(), assign(Prefix, 1), at), observed: []string{"10.0.0.16/28", "10.0.0.8/32", "10.0.0.9/32"}, asOf: before,
			want: Drift{Appeared: blocks("10.0.0.16/28")}, open: 6,
		},
		"half of an assign in doubt is shown": {
			ledger: lost(two(), assign(Prefix, 2), at), observed: []string{"10.0.0.16/28", "10.0.0.8/32", "10.0.0.9/32"}, asOf: before,
			want: Drift{Appeared: blocks("10.0.0.16/28")}, doubt: true, open: 4,
		},
		"what appears is not of the kind of the assign in doubt": {
			ledger: lost(two(), assign(Prefix, 1), at), observed: []string{"10.0.0.10/32", "10.0.0.8/32", "10.0.0.9/32"}, asOf: before,
			want: Drift{Appeared: blocks("10.0.0.10/32")}, doubt: true, open: 5,
		},
		"an assign in doubt may yet be shown": {
			ledger: lost(two(), assign(Prefix, 1), at), observed: []string{"10.0.0.8/32", "10.0.0.9/32"}, asOf: before + Settle, doubt: true, open: 6,
		},
		"an assign in doubt was not done": {
			ledger: lost(two(), assign(Prefix, 1), at), observed: []string{"10.0.0.8/32", "10.0.0.9/32"}, asOf: before + Settle + 1, open: 7,
		},
		"an unassign in doubt was done": {
			ledger: lost(two(), release("10.0.0.9/32"), at), observed: []string{"10.0.0.8/32"}, asOf: before, open: 8,
		},
		"an unassign in doubt was done, and another client has been there": {
			ledger: lost(two(), release("10.0.0.9/32"), at), asOf: before,
			want: Drift{Vanished: blocks("10.0.0.8/32"), Stranded: []types.UID{"pod-10.0.0.8"}}, open: 9,
		},
		"half of an unassign in doubt is shown": {
			ledger:   lost(on(9, SecondaryIP, []string{"10.0.0.8/32", "10.0.0.9/32"}), release("10.0.0.8/32", "10.0.0.9/32"), at),
			observed: []string{"10.0.0.8/32"}, asOf: before,
			want: Drift{Vanished: blocks("10.0.0.9/32")}, doubt: true, open: 8,
		},
		"an unassign in doubt may yet be shown": {
			ledger: lost(two(), release("10.0.0.9/32"), at), observed: []string{"10.0.0.8/32", "10.0.0.9/32"}, asOf: before + Settle, doubt: true, open: 7,
		},
		"an unassign in doubt was not done": {
			ledger: lost(two(), release("10.0.0.9/32"), at), observed: []string{"10.0.0.8/32", "10.0.0.9/32"}, asOf: before + Settle + 1, open: 7,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inFlight, inDoubt := c.ledger.InFlight(), c.ledger.InDoubt()
			differs := c.ledger.Compare(blocks(c.observed...), epoch.Add(c.asOf))
			if want := !inFlight && !inDoubt && !c.want.None(); differs != want {
				t.Errorf("Compare() = %t, want %t", differs, want)
			}
			got := c.ledger.Sync(blocks(c.observed...), epoch.Add(c.asOf), epoch.Add(now))
			if diff := cmp.Diff(c.want, got, samePrefix, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Sync() (-want +got):\n%s", diff)
			}
			if c.ledger.InFlight() != inFlight || c.ledger.InDoubt() != c.doubt {
				t.Errorf("in flight: %t, in doubt: %t; want %t, %t", c.ledger.InFlight(), c.ledger.InDoubt(), inFlight, c.doubt)
			}
			if n := c.ledger.Counts(); n.Open != c.open {
				t.Errorf("%d slots are open, want %d", n.Open, c.open)
			}
		})
	}
}

// What an unassign in doubt has taken away, a describe that lags does not bring back.
func TestResolvedUnassignIsRemembered(t *testing.T) {
	at := epoch.Add(2 * Settle)
	l := lost(on(9, SecondaryIP, []string{"10.0.0.9/32"}), Call{Kind: SecondaryIP, Blocks: blocks("10.0.0.9/32")}, at)
	if d := l.Sync(nil, at, at); !d.None() || l.InDoubt() {
		t.Fatalf("Sync() = %+v, in doubt: %t; want the call settled", d, l.InDoubt())
	}
	if d := l.Sync(blocks("10.0.0.9/32"), at.Add(time.Second), at.Add(time.Second)); !d.None() {
		t.Errorf("Sync() = %+v of a describe that lags", d)
	}
}

// What a failed unassign has not taken away can be given again, and taken away again.
func TestCallsAndDoubt(t *testing.T) {
	release := Call{Kind: SecondaryIP, Blocks: blocks("10.0.0.9/32")}
	l := begun(on(9, SecondaryIP, []string{"10.0.0.9/32"}), release)
	if _, ok := l.Plan(9, 9); ok || !l.InFlight() || l.InDoubt() || !l.InDoubtSince().IsZero() {
		t.Errorf("with a call in flight: planned %t, in flight %t, in doubt %t since %s", ok, l.InFlight(), l.InDoubt(), l.InDoubtSince())
	}
	if c := l.Counts(); c.Free != 0 || c.SecondaryIPs != 1 || c.Open != 8 || c.Arriving != 0 {
		t.Errorf("with an unassign in flight: %+v", c)
	}
	l.Lost(epoch)
	if _, ok := l.Plan(9, 9); ok || l.InFlight() || !l.InDoubt() || !l.InDoubtSince().Equal(epoch) {
		t.Errorf("with a call in doubt: planned %t, in flight %t, in doubt %t since %s", ok, l.InFlight(), l.InDoubt(), l.InDoubtSince())
	}
	if _, ok := l.PlanRestore(blocks("10.0.0.10/32")); ok {
		t.Error("a block is restored with a call in doubt")
	}
	l.Failed()
	if c := l.Counts(); c.Free != 1 || l.InDoubt() || !l.InDoubtSince().IsZero() {
		t.Errorf("after the call has failed: %+v, in doubt since %s", c, l.InDoubtSince())
	}
	if call, ok := l.PlanRestore(blocks("10.0.0.10/32", "10.0.0.16/28")); !ok || call.Count != 1 || call.Kind != SecondaryIP {
		t.Errorf("PlanRestore() = %+v, %t; want one kind", call, ok)
	}
}

// Slots that an assign in flight fills count as obtainable, those of one in doubt do not.
func TestArriving(t *testing.T) {
	for name, c := range map[string]struct {
		ledger         *Ledger
		arriving, open int
		remaining      int
	}{
		"no call":                          {on(4, Prefix, nil), 0, 4, 64},
		"an assign in flight":              {begun(on(4, Prefix, nil), Call{Kind: Prefix, Count: 3}), 3, 1, 64},
		"an assign in doubt":               {lost(on(4, Prefix, nil), Call{Kind: Prefix, Count: 3}, epoch), 0, 1, 16},
		"an assign of the other kind":      {begun(on(4, Prefix, nil), Call{Kind: SecondaryIP, Count: 3}), 0, 1, 16},
		"more blocks than there are slots": {begun(on(2, Prefix, nil), Call{Kind: Prefix, Count: 3}), 3, 0, 48},
	} {
		t.Run(name, func(t *testing.T) {
			n := c.ledger.Counts()
			if got := n.Remaining(9); n.Arriving != c.arriving || n.Open != c.open || got != c.remaining {
				t.Errorf("%d arrive, %d slots are open, %d remain; want %d, %d and %d", n.Arriving, n.Open, got, c.arriving, c.open, c.remaining)
			}
		})
	}
}

// TestAssignedInPlace: what EC2 gives out of a block of the ledger proves that block to be
// gone, though no describe has shown it yet. Its addresses have one owner again.
func TestAssignedInPlace(t *testing.T) {
	l := on(9, Prefix, []string{"10.0.0.0/28"}, "10.0.0.8", "10.0.0.9")
	l.SetMode(SecondaryIP)
	now := epoch.Add(time.Minute)
	got := begun(l, Call{Kind: SecondaryIP, Count: 2}).Assigned(blocks("10.0.0.9/32", "10.0.0.10/32"), now)
	want := Drift{Vanished: blocks("10.0.0.0/28"), Stranded: []types.UID{"pod-10.0.0.8"}}
	if diff := cmp.Diff(want, got, samePrefix, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Assigned() (-want +got):\n%s", diff)
	}
	if g, ok := l.Take("new"); !ok || g.Address.String() != "10.0.0.10" {
		t.Errorf("a new pod gets %v, want the address that nobody has", g)
	}
	if c := l.Counts(); c.SecondaryIPs != 2 || c.Prefixes != 0 || !l.Lacks("pod-10.0.0.8") || l.Lacks("pod-10.0.0.9") {
		t.Errorf("%+v, adrift %v; want two secondary IPs, and one pod whose address is gone", c, l.Adrift())
	}
}
