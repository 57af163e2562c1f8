package node

import (
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/budget"
	"slotwise.dev/slotwise/allocator/ledger"
)

func TestArrivalsSettled(t *testing.T) {
	var a Arrivals
	now := time.Now()
	if got := a.settled(time.Time{}); got.After(now) {
		t.Errorf("a node whose use has not changed waits until %s from now", got.Sub(now))
	}
	changed := now
	for range 16 { // a pod every 700 ms, somewhere
		now = now.Add(700 * time.Millisecond)
		a.note(now, 1)
		if got := a.settled(now); got != now.Add(settleDelay) {
			t.Errorf("a node changed just now waits %s, want %s", got.Sub(now), settleDelay)
		}
	}
	if got, want := a.settled(changed), changed.Add(maximumDelay); got != want {
		t.Errorf("while pods come all the time, a node waits %s, want %s", got.Sub(changed), maximumDelay)
	}
}

func TestArrivalsRate(t *testing.T) {
	var a Arrivals
	now := time.Now()
	for range 100 { // 50 a second come, 50 go
		now = now.Add(20 * time.Millisecond)
		a.note(now, 1)
		a.note(now, -1)
	}
	if got := a.rate(now); got < 45 || got > 55 {
		t.Errorf("rate = %d, want about 50", got)
	}
	if got := a.rate(now.Add(3 * time.Second)); got != 0 {
		t.Errorf("rate = %d after 3 s without pods, want 0", got)
	}
}

func TestBurstBlocks(t *testing.T) {
	for name, c := range map[string]struct {
		kind                    ledger.Kind
		recent, free, available int
		want                    int
	}{
		"a pod now and then":           {ledger.Prefix, 3, 0, 1000, 0},
		"a burst":                      {ledger.Prefix, 200, 0, 1000, 12},
		"a burst, secondary IPs":       {ledger.SecondaryIP, 200, 0, 1000, 200},
		"a burst, some free elsewhere": {ledger.Prefix, 200, 100, 1000, 6},
		"a burst, enough elsewhere":    {ledger.Prefix, 200, 300, 1000, 0},
		"a subnet with little":         {ledger.Prefix, 200, 0, budget.NotifyBelow, 0},
		"a subnet with a little more":  {ledger.Prefix, 200, 0, budget.NotifyBelow + 5, 5},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (burst{rate: c.recent, free: c.free}).blocks(c.kind, c.available); got != c.want {
				t.Errorf("blocks = %d, want %d", got, c.want)
			}
		})
	}
}
