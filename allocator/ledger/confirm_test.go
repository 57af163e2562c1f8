package ledger

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// I10: what has cooled down is given only once EC2 has shown it since its pod ended.
func TestI10CooledIsGivenOnceEC2HasShownIt(t *testing.T) {
	const address = "10.0.0.9"
	block := blocks(address + "/32")
	for name, c := range map[string]struct {
		shown    []netip.Prefix
		asOf     time.Duration // of the describe, after the end
		want     bool
		differs  bool
		wantLook bool // another one is due
	}{
		"never shown":                         {nil, 0, false, false, true},
		"shown, but perhaps as it was before": {block, Settle - time.Second, false, false, true},
		"shown":                               {block, Settle, true, false, false},
		"shown to be gone":                    {nil, Settle + time.Second, false, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := endAll(on(2, SecondaryIP, []string{address + "/32"}, address))
			if c.asOf > 0 {
				if got := l.Compare(c.shown, epoch.Add(c.asOf)); got != c.differs {
					t.Errorf("differs: %t, want %t", got, c.differs)
				}
			}
			now := epoch.Add(Cooldown)
			if got := l.Unconfirmed(now); got != c.wantLook {
				t.Errorf("unconfirmed: %t, want %t", got, c.wantLook)
			}
			l.Advance(now)
			if _, ok := l.Take("new"); ok != c.want {
				t.Errorf("given: %t, want %t", ok, c.want)
			}
		})
	}
}

// A look that comes after the cooldown frees what has waited for it.
func TestI10LateLookFrees(t *testing.T) {
	l := endAll(on(2, SecondaryIP, []string{"10.0.0.9/32"}, "10.0.0.9"))
	late := epoch.Add(2 * Cooldown)
	l.Advance(late)
	if _, ok := l.Take("early"); ok {
		t.Fatal("given before EC2 has shown it")
	}
	l.Compare(blocks("10.0.0.9/32"), late)
	if next := l.NextFree(); next.IsZero() || next.After(late) {
		t.Errorf("nothing is due after the look: %s", next)
	}
	l.Advance(late)
	if _, ok := l.Take("new"); !ok {
		t.Error("not given after EC2 has shown it")
	}
}

// What live pods have lost is known by name, until it is back or they have ended.
func TestAdrift(t *testing.T) {
	now := epoch.Add(Settle + time.Second)
	l := on(3, SecondaryIP, []string{"10.0.0.9/32", "10.0.0.16/28", "10.0.0.32/28"}, "10.0.0.9", "10.0.0.17", "10.0.0.18")
	l.Hold("late", netip.MustParseAddr("10.0.0.70"), Prefix, now)
	l.Sync(blocks("10.0.0.32/28"), now, now)
	if got, want := l.Adrift(), blocks("10.0.0.9/32", "10.0.0.16/28", "10.0.0.64/28"); !slices.Equal(got, want) {
		t.Fatalf("adrift = %s, want %s", got, want)
	}
	call, ok := l.PlanRestore(l.Adrift())
	if want := blocks("10.0.0.9/32"); !ok || call.Purpose != Restoring || !slices.Equal(call.Names, want) || call.Count != 1 {
		t.Fatalf("PlanRestore() = %+v, %t; want %s by name", call, ok, want)
	}
	l.Begin(call)
	l.Assigned(call.Names, now)
	l.End("pod-10.0.0.17", now)
	l.End("pod-10.0.0.18", now)
	if got, want := l.Adrift(), blocks("10.0.0.64/28"); !slices.Equal(got, want) {
		t.Errorf("adrift = %s, want %s", got, want)
	}
	l.Wait("waiting")
	if c := l.Counts(); c.Open != 1 {
		t.Fatalf("%d slots open, want 1", c.Open)
	}
	l.SetSlots(2)
	if call, ok := l.PlanRestore(l.Adrift()); ok {
		t.Errorf("PlanRestore() = %+v without a slot", call)
	}
}
