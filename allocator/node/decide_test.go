package node

import (
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/ledger"
)

func TestDecide(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	later := now.Add(time.Minute)
	forPods := ledger.Call{Kind: ledger.Prefix, Count: 1, Purpose: ledger.Waiting}
	toWarm := ledger.Call{Kind: ledger.Prefix, Count: 1, Purpose: ledger.Warming}
	for name, c := range map[string]struct {
		situation
		want step
	}{
		"it is time to look":                       {situation{lookAt: now, mayAct: true, trusted: true, planned: true, call: forPods}, step{look: true, next: now.Add(retryAfter)}},
		"a call for pods is made at once":          {situation{lookAt: later, mayAct: true, trusted: true, planned: true, call: forPods, settled: later}, step{makes: true, call: forPods, next: now}},
		"warming waits until pods settle":          {situation{lookAt: later.Add(1), mayAct: true, trusted: true, planned: true, call: toWarm, settled: later}, step{next: later}},
		"a pause is kept":                          {situation{lookAt: later.Add(1), mayAct: true, trusted: true, planned: true, call: forPods, stalled: later}, step{next: later}},
		"but not beyond the next look":             {situation{lookAt: later, mayAct: true, trusted: true, planned: true, call: forPods, stalled: later.Add(1)}, step{next: later}},
		"nothing to do":                            {situation{lookAt: later, mayAct: true, trusted: true}, step{idle: true, next: later}},
		"the subnet has nothing":                   {situation{lookAt: later, mayAct: true, trusted: true, short: true}, step{idle: true, short: true, next: later}},
		"I3: an interface in doubt is not changed": {situation{lookAt: later, mayAct: true, planned: true, call: forPods}, step{next: now.Add(retryAfter)}},
		"nor by a process that may not act":        {situation{lookAt: later, trusted: true, planned: true, call: forPods}, step{next: now.Add(retryAfter)}},
	} {
		t.Run(name, func(t *testing.T) {
			c.now = now
			got := decide(c.situation)
			if got.look != c.want.look || got.makes != c.want.makes || got.idle != c.want.idle || got.short != c.want.short || !got.next.Equal(c.want.next) || got.call.Count != c.want.call.Count {
				t.Errorf("decide = %+v, want %+v", got, c.want)
			}
		})
	}
}
