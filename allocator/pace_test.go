package allocator

import (
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/ledger"
)

func TestPaceCalm(t *testing.T) {
	var p pace
	now := time.Now()
	if got := p.calm(time.Time{}); got.After(now) {
		t.Errorf("a node whose use has not changed waits until %s from now", got.Sub(now))
	}
	stirred := now
	for range 16 { // a pod every 700 ms, somewhere
		now = now.Add(700 * time.Millisecond)
		p.note(now, 1)
		if got := p.calm(now); got != now.Add(quiet) {
			t.Errorf("a node stirred just now waits %s, want %s", got.Sub(now), quiet)
		}
	}
	if got, want := p.calm(stirred), stirred.Add(patience); got != want {
		t.Errorf("while pods come all the time, a node waits %s, want %s", got.Sub(stirred), patience)
	}
}

func TestPaceRecent(t *testing.T) {
	var p pace
	now := time.Now()
	for range 100 { // 50 a second come, 50 go
		now = now.Add(20 * time.Millisecond)
		p.note(now, 1)
		p.note(now, -1)
	}
	if got := p.recent(now); got < 45 || got > 55 {
		t.Errorf("recent = %d, want about 50", got)
	}
	if got := p.recent(now.Add(3 * time.Second)); got != 0 {
		t.Errorf("recent = %d after 3 s without pods, want 0", got)
	}
}

func TestAhead(t *testing.T) {
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
		"a tight subnet":               {ledger.Prefix, 200, 0, tight, 0},
		"an almost tight subnet":       {ledger.Prefix, 200, 0, tight + 5, 5},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ahead(c.kind, c.recent, c.free, c.available); got != c.want {
				t.Errorf("ahead = %d, want %d", got, c.want)
			}
		})
	}
}
