package node

import (
	"testing"
	"testing/synctest"
	"time"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/policy"
)

// I10: what cools is looked at in time to be free when it has cooled, with a bounded
// number of calls; and what another client has taken meanwhile is not given.
func TestI10CooldownIsTimeToLook(t *testing.T) {
	for name, there := range map[string]bool{"it is still there": true, "another client has taken it": false} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				w.state(func(s *state) { s.ledger.SetSlots(1) })
				w.holds(16)
				tick := func(d time.Duration) { // the fleet's clock, without a worker
					for end := time.Now().Add(d); time.Now().Before(end); {
						time.Sleep(10 * time.Second)
						w.node.Interface.Confirm(t.Context())
						w.node.Tick(time.Now())
					}
				}
				before := w.calls(cloud.DescribeInterfaces)
				tick(time.Minute)
				if got := w.calls(cloud.DescribeInterfaces) - before; got > 0 {
					t.Errorf("%d looks though nothing cools", got)
				}
				for _, uid := range uids('a', 3) {
					w.node.Ended(uid, 0)
				}
				if !there {
					w.take(t, prefix)
				}
				tick(ledger.Cooldown + 10*time.Second)
				w.state(func(s *state) {
					if _, given := s.ledger.Take("new"); given != there {
						t.Errorf("given: %t, want %t", given, there)
					}
					if doubted := !s.doubtSince.IsZero(); doubted == there {
						t.Errorf("doubted: %t", doubted)
					}
				})
				if got := w.calls(cloud.DescribeInterfaces) - before; there && got != 1 {
					t.Errorf("%d looks, want 1", got)
				}
			})
		})
	}
}

// I8: what has cooled is free again, and others hear of it, though the worker waits for
// EC2.
func TestI8CooledWithoutTheWorker(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.state(func(s *state) { s.ledger.SetSlots(1) })
		w.holds(16)
		w.node.Ended("a", 0)
		time.Sleep(ledger.Settle + time.Second)
		w.node.Interface.Confirm(t.Context())
		time.Sleep(ledger.Cooldown)
		w.told.grew = 0
		w.node.Tick(time.Now())
		c, available := w.node.Capacity()
		if room := c.Room(available); room.Free != 1 || w.told.grew != 1 {
			t.Errorf("room = %+v, told that it grew %d times; want one address free", room, w.told.grew)
		}
	})
}

// I6: one describe of the subnet shows whether the interface is as the ledger has it.
func TestI6DescribedSubnet(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(t *testing.T, w *world)
		doubted   bool
	}{
		"as it should be":         {func(*testing.T, *world) {}, false},
		"another client adds one": {func(t *testing.T, w *world) { w.assign(t, second) }, true},
		"another client takes it": {func(t *testing.T, w *world) { w.take(t, prefix) }, true},
		"the interface has gone": {func(t *testing.T, w *world) {
			if err := w.ec2.Terminate("i-1"); err != nil {
				t.Fatal(err)
			}
		}, true},
		"a node that is no more": {func(t *testing.T, w *world) {
			w.take(t, prefix)
			w.node.Retire()
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				time.Sleep(ledger.Settle + time.Second)
				c.meanwhile(t, w)
				w.shared.Subnets.Look(t.Context(), w.node.core.budget)
				w.state(func(s *state) {
					if got := !s.doubtSince.IsZero(); got != c.doubted {
						t.Errorf("doubted: %t, want %t", got, c.doubted)
					}
				})
			})
		})
	}
}

// In mode observe the ledger follows what the describe shows.
func TestObserveFollowsTheSubnet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Observe(30*time.Second))
		w.open(t)
		w.assign(t, prefix, second)
		w.shared.Subnets.Look(t.Context(), w.node.core.budget)
		if c := w.counts(); c.Prefixes != 2 || c.Free != 32 {
			t.Errorf("%+v, want two prefixes, all free", c)
		}
	})
}

// What another client has put on the interface is known after a look, and counted as
// taken from the subnet.
func TestI6AppearedBlock(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.assign(t, second)
		stranger := pod("stranger", second.Addr())
		stranger.Node = "unknown"
		w.shared.Pods.Place(stranger, time.Now())
		w.node.core.doubtNow()
		x := w.worker()
		x.look(t.Context())
		if c := w.counts(); c.Prefixes != 2 {
			t.Errorf("%+v, want two prefixes", c)
		}
		if got, _ := w.holder("stranger"); got != second.Addr() {
			t.Errorf("the pod that lives in it holds %s", got)
		}
		if got := w.available(); got != 0 {
			t.Errorf("the subnet has %d prefixes, want 0", got)
		}
		if x.lookDue.IsZero() {
			t.Error("it is not looked at again, though what was shown may be old")
		}
	})
}
