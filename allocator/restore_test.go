package allocator

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

// robbed is a node whose prefix another client has taken from under a pod.
func robbed(a *Allocator, n *node) *worker {
	a.pods.observe(windowsPod(n, "pod", at(0)))
	time.Sleep(ledger.Settle + time.Second)
	w := &worker{node: n}
	w.sync(cloud.Interface{AsOf: time.Now()})
	return w
}

// What a live pod holds is taken back by name, before anything else is asked for.
func TestLostBlockIsTakenBack(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		w := robbed(a, n)
		n.wait(20)
		call, ok := w.begin(cloud.Assign)
		if !ok || !slices.Equal(call.Names, []netip.Prefix{prefix}) {
			t.Fatalf("begun: %t, %+v; want %s by name", ok, call, prefix)
		}
		w.settle(t.Context(), call, result{blocks: call.Names})
		if n.ledger.Lacks("pod") {
			t.Error("the pod still lacks its address")
		}
		if call, _ := w.begin(cloud.Assign); call.Names != nil {
			t.Errorf("%s is asked for again", call.Names)
		}
	})
}

// Two clients that fight make no storm.
func TestTakingBackIsPaced(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		w := robbed(a, n)
		calls := 0
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
			call, ok := w.begin(cloud.Assign)
			if ok && call.Names == nil {
				w.settle(t.Context(), call, result{err: refusal(cloud.RetryLater, "RequestLimitExceeded")})
			}
			if ok && call.Names != nil {
				calls++
				w.settle(t.Context(), call, result{blocks: call.Names})
				n.update(func(l *ledger.Ledger, now time.Time) {
					l.Sync(nil, now.Add(ledger.Settle+time.Second), now) // it is taken at once
				})
				n.budget.gave(call.Names)
			}
		}
		if calls < 2 || calls > 6 {
			t.Errorf("asked for %d times in a minute", calls)
		}
	})
}

// What the subnet no longer has, the pod is told of, once; and no more is asked for it.
func TestLostForGood(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		a.pods.observe(windowsPod(n, "pod", at(0)))
		w := robbed(a, n)
		n.budget.took(ledger.Prefix, 0, []netip.Prefix{prefix}) // somebody else's
		if call, ok := w.begin(cloud.Assign); ok && call.Names != nil {
			t.Errorf("%s is asked for, which another has", call.Names)
		}
		if got := w.unrestorable([]netip.Prefix{prefix}); len(got) != 1 {
			t.Errorf("unrestorable = %s", got)
		}
		if got := n.lost([]netip.Prefix{prefix}); len(got) != 1 || got[0].uid != "pod" {
			t.Errorf("lost = %v, want the pod", got)
		}
		if got := n.lost([]netip.Prefix{prefix}); len(got) > 0 {
			t.Errorf("it is told again: %v", got)
		}
	})
}
