package node

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/policy"
	"slotwise.dev/slotwise/test/ec2sim"
)

// A call that was planned is not made once its ground has come into doubt, nor may a
// block be given back while NodeSlots promises its addresses to be free.
func TestI3BeginLooksOnceMore(t *testing.T) {
	secondary := func(w *world) { w.state(func(s *state) { s.ledger.SetMode(ledger.SecondaryIP) }) }
	for name, c := range map[string]struct {
		prepare func(t *testing.T, w *world)
		action  cloud.Action
		want    bool
	}{
		"assign":              {func(_ *testing.T, w *world) { w.waits(20) }, cloud.Assign, true},
		"assign, none needed": {func(*testing.T, *world) {}, cloud.Assign, false},
		"assign, in doubt": {func(_ *testing.T, w *world) {
			w.waits(20)
			w.node.core.doubtNow()
		}, cloud.Assign, false},
		"assign, by a follower": {func(_ *testing.T, w *world) {
			w.waits(20)
			w.gate.follows.Store(true)
		}, cloud.Assign, false},
		"assign, turned off": {func(_ *testing.T, w *world) {
			w.waits(20)
			w.gate.off.Store(true)
		}, cloud.Assign, false},
		"assign, the subnet is taken by others meanwhile": {func(_ *testing.T, w *world) {
			w.waits(20)
			w.state(func(s *state) { s.claims.giveUp(s.budget) })
			w.node.core.budget.Claim(ledger.Prefix, 2)
		}, cloud.Assign, false},
		"unassign":                             {func(_ *testing.T, w *world) { secondary(w) }, cloud.Unassign, true},
		"unassign, the turn was for an assign": {func(_ *testing.T, w *world) { secondary(w) }, cloud.Assign, false},
		"unassign, still on the list": {func(t *testing.T, w *world) {
			secondary(w)
			w.store.status = &v1alpha1.NodeSlotsStatus{NetworkInterface: w.eni}
			w.node.Slots.Known(t.Context(), w.eni, true)
		}, cloud.Unassign, false},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				c.prepare(t, w)
				if _, ok := w.worker().begin(c.action); ok != c.want {
					t.Errorf("begun: %t, want %t", ok, c.want)
				}
			})
		})
	}
}

// What a call is about to take is set aside until it has come: nobody else is promised it.
func TestI3BeginClaims(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.waits(20)
		w.state(func(s *state) { s.claims.giveUp(s.budget) })
		x := w.worker()
		call, ok := x.begin(cloud.Assign)
		w.state(func(s *state) {
			if want := (claim{ledger.Prefix, 1}); !ok || s.claims.inFlight != want || w.available() != 0 {
				t.Errorf("begun: %t, set aside %+v, %d left to others", ok, s.claims.inFlight, w.available())
			}
		})
		x.settle(t.Context(), call, x.execute(t.Context(), call))
		w.state(func(s *state) {
			if s.claims != (claims{own: claim{kind: ledger.Prefix}}) {
				t.Errorf("still set aside: %+v", s.claims)
			}
		})
	})
}

// What others read of the node knows of a call from its beginning: what it brings is on its
// way, and what it takes away is no longer free.
func TestCapacityKnowsOfTheCall(t *testing.T) {
	for name, c := range map[string]struct {
		prepare                   func(w *world)
		action                    cloud.Action
		free, arriving, available int
	}{
		"assign":   {func(w *world) { w.waits(20) }, cloud.Assign, 0, 1, 0},
		"unassign": {func(w *world) { w.state(func(s *state) { s.ledger.SetMode(ledger.SecondaryIP) }) }, cloud.Unassign, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				c.prepare(w)
				if _, ok := w.worker().begin(c.action); !ok {
					t.Fatal("no call is made")
				}
				n, _ := w.node.Capacity()
				if n.Free != c.free || n.Arriving != c.arriving || w.available() != c.available {
					t.Errorf("%+v, %d left in the subnet", n.Counts, w.available())
				}
			})
		})
	}
}

// What was set aside for a call in doubt comes back when its node goes.
func TestI6WorkerLeavesNoClaim(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		before := w.available()
		w.state(func(s *state) { s.claims.inFlight = claim{ledger.Prefix, s.budget.Claim(ledger.Prefix, 1)} })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.worker().run(ctx)
		if got := w.available(); got != before || before == 0 {
			t.Errorf("%d prefixes are available, want %d", got, before)
		}
	})
}

// I5: a live pod on a Node that Slotwise does not know, as one without the label of
// Windows, keeps its block from being unassigned until it ends.
func TestI5PodOfAnUnknownNode(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		stranger := pod("stranger", at(3))
		stranger.Node = "unknown"
		w.shared.Pods.Place(stranger, time.Now())
		w.state(func(s *state) { s.ledger.SetMode(ledger.SecondaryIP) })
		if call, ok := w.worker().begin(cloud.Unassign); ok {
			t.Fatalf("%v was unassigned under a live pod", call.Blocks)
		}
		if holder, _ := w.holder("stranger"); holder != at(3) {
			t.Errorf("the ledger says that it holds %s", holder)
		}
		for _, home := range w.shared.Pods.End("stranger", time.Now()) {
			home.Ended("stranger", 0)
		}
		if got := w.counts().Cooling; got != 1 {
			t.Errorf("%d addresses cool after its end, want 1", got)
		}
	})
}

// I3: whatever comes up while a call is under way waits for it, and joins the one call
// that is made next.
func TestI3OneCallAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Manage())
		w.open(t)
		w.ec2.SetLatency(ec2sim.AnyAction, ec2sim.Latency{Mean: 2 * time.Second})
		w.serve(t)
		w.waits(1)
		time.Sleep(time.Second)
		w.waits(17)
		time.Sleep(10 * time.Second)
		var changes []ec2sim.Call
		for _, c := range w.ec2.Calls() {
			if c.Action == string(cloud.Assign) {
				changes = append(changes, c)
			}
		}
		if len(changes) != 2 {
			t.Fatalf("%d calls, want one for the first pod and one for the 16 others", len(changes))
		}
		if changes[1].Start.Before(changes[0].End) {
			t.Error("two calls at a time change the interface")
		}
		if c := w.counts(); c.InUse != 17 {
			t.Errorf("%+v, want all served", c)
		}
	})
}

// A burst that finds a call under way costs one more call, not one a pod.
func TestBurstIsOneCall(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.serve(t)
		w.waits(26)
		time.Sleep(10 * time.Second)
		if got := w.calls(cloud.Assign); got != 1 {
			t.Errorf("%d calls for 26 pods, want 1", got)
		}
		if c := w.counts(); c.InUse != 26 {
			t.Errorf("%+v, want all served", c)
		}
		if got := len(w.api.given()); got != 26 {
			t.Errorf("%d pods are annotated, want all that others have bound", got)
		}
	})
}

// I6, I7: after a lost answer the interface is described before anything is asked for
// again, whether the call was done or not.
func TestI7LostAnswerIsLookedUp(t *testing.T) {
	for name, c := range map[string]struct {
		kind    ec2sim.FaultKind
		assigns int // calls until the pods have their addresses
	}{
		"it was done":     {ec2sim.DropAfter, 1},
		"it was not done": {ec2sim.DropBefore, 2},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				w.ec2.Inject(ec2sim.Fault{Kind: c.kind, Action: string(cloud.Assign), Times: 1})
				w.serve(t)
				w.waits(20)
				time.Sleep(2 * time.Minute)
				var last cloud.Action
				for _, call := range w.ec2.Calls() {
					if call.Action == string(cloud.Assign) && last == cloud.Assign {
						t.Error("asked again without a look between")
					}
					last = cloud.Action(call.Action)
				}
				if got := w.calls(cloud.Assign); got != c.assigns {
					t.Errorf("%d calls, want %d", got, c.assigns)
				}
				if got := w.counts(); got.InUse != 20 || got.Prefixes != 2 {
					t.Errorf("%+v, want 20 pods on two prefixes", got)
				}
				if err := w.ec2.Check(); err != nil {
					t.Error(err)
				}
				if got := w.available(); got != 0 {
					t.Errorf("%d prefixes of the subnet are available, want 0: both are on the interface", got)
				}
			})
		})
	}
}

// What each class of error means for the ledger, the subnet and people.
func TestSettle(t *testing.T) {
	for name, c := range map[string]struct {
		code     string
		inDoubt  bool // whether the call was done
		doubted  bool // what the ledger has of the interface
		lookNow  bool
		limit    int // blocks that count as capacity right after
		gone     int
		reason   string // of the event
		waitsFor int    // prefixes that the subnet can still give to this node
	}{
		"throttled":              {code: "RequestLimitExceeded", limit: capacity.Unlimited, waitsFor: 1},
		"no room":                {code: "InsufficientCidrBlocks", limit: capacity.Unlimited, reason: "InsufficientCidrBlocks"},
		"out of step":            {code: "PrivateIpAddressLimitExceeded", doubted: true, lookNow: true, limit: capacity.Unlimited, waitsFor: 1},
		"the interface has gone": {code: "InvalidNetworkInterfaceID.NotFound", limit: capacity.Unlimited, gone: 1, waitsFor: 1},
		"refused":                {code: "UnauthorizedOperation", limit: 0, reason: "EC2CallRefused", waitsFor: 1},
		"I7: lost":               {code: "InternalError", inDoubt: true, lookNow: true, limit: capacity.Unlimited},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				w.ec2.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Code: c.code, Action: string(cloud.Assign)})
				w.waits(20)
				x := w.worker()
				x.lookDue = time.Time{}
				call, ok := x.begin(cloud.Assign)
				if !ok {
					t.Fatal("no call is made")
				}
				x.settle(t.Context(), call, x.execute(t.Context(), call))
				w.state(func(s *state) {
					if got := s.ledger.InDoubt(); got != c.inDoubt {
						t.Errorf("the call is in doubt: %t, want %t", got, c.inDoubt)
					}
					if got := !s.doubtSince.IsZero(); got != c.doubted {
						t.Errorf("the interface is in doubt: %t, want %t", got, c.doubted)
					}
					if got := s.limit(time.Now()); got != c.limit {
						t.Errorf("limit = %d, want %d", got, c.limit)
					}
					if got := s.budget.Available(ledger.Prefix) + s.claims.own.count; got != c.waitsFor {
						t.Errorf("the subnet can give %d prefixes, want %d", got, c.waitsFor)
					}
				})
				if got := !x.lookDue.IsZero(); got != c.lookNow {
					t.Errorf("the interface is described next: %t, want %t", got, c.lookNow)
				}
				if got := len(w.told.goneBy()); got != c.gone {
					t.Errorf("the node has gone %d times, want %d", got, c.gone)
				}
				for _, reason := range []string{"InsufficientCidrBlocks", "EC2CallRefused"} {
					if got := len(w.events.of(reason)); (got > 0) != (reason == c.reason) {
						t.Errorf("%d events %s", got, reason)
					}
				}
			})
		})
	}
}

// A refused unassign is told of, too, though it costs no capacity.
func TestRefusedUnassignIsTold(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.ec2.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Code: "UnauthorizedOperation", Action: string(cloud.Unassign)})
		w.state(func(s *state) { s.ledger.SetMode(ledger.SecondaryIP) })
		x := w.worker()
		call, ok := x.begin(cloud.Unassign)
		if !ok {
			t.Fatal("no call is made")
		}
		x.settle(t.Context(), call, x.execute(t.Context(), call))
		if got := w.events.of("EC2CallRefused"); len(got) != 1 {
			t.Errorf("events: %q", got)
		}
		w.state(func(s *state) {
			if s.limit(time.Now()) == 0 {
				t.Error("what EC2 does not take back costs capacity")
			}
		})
	})
}

// Pools are tended to when pods have stopped coming and going, and not before: idle
// prefixes are given back once the promise that they are free was taken back.
func TestPoolIsTrimmed(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.assign(t, second)
		w.node.Interface.sync([]netip.Prefix{prefix, second}, time.Now())
		time.Sleep(ledger.Cooldown)
		w.node.Tick(time.Now())
		w.store.status = &v1alpha1.NodeSlotsStatus{NetworkInterface: w.eni, KnownFree: []string{prefix.String(), second.String()}}
		w.node.Slots.Known(t.Context(), w.eni, true)
		w.store.fails(errAway)
		w.serve(t)
		time.Sleep(5 * time.Second)
		if got := w.calls(cloud.Unassign); got != 0 {
			t.Fatalf("%d blocks were given back that are promised to be free", got)
		}
		w.store.fails(nil)
		time.Sleep(5 * time.Second)
		if got := w.onENI(); len(got) != 1 {
			t.Errorf("the interface has %v, want one prefix", got)
		}
		if got := w.available(); got != 1 {
			t.Errorf("the subnet has %d prefixes, want 1", got)
		}
		if w.store.status.KnownFree != nil {
			t.Errorf("%q are still promised", w.store.status.KnownFree)
		}
	})
}

// While the worker waits for its turn, its urgency is that of what came up last.
func TestUrgencyFollowsDemand(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.shared.EC2 = cloud.New(nil, cloud.Options{Buckets: map[cloud.Action]cloud.Bucket{cloud.Assign: {}}}) // no turn ever
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- w.worker().admit(ctx, ledger.Call{Kind: ledger.Prefix, Count: 1, Purpose: ledger.Warming})
		}()
		synctest.Wait()
		w.waits(20)
		w.state(func(s *state) {
			if got := w.node.core.urgency.Get(); !s.admitting || got != ledger.Waiting {
				t.Errorf("waits for a turn: %t, for %s", s.admitting, got)
			}
		})
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("admit = %v", err)
		}
		w.state(func(s *state) {
			if s.admitting {
				t.Error("still counts as waiting")
			}
			s.ledger.SetSlots(1)
		})
		for _, uid := range uids('A', 20) {
			w.node.Ended(uid, 0)
		}
		w.state(func(s *state) {
			if got := s.purpose(w.shared.Settings(), time.Now()); got != ledger.Release {
				t.Errorf("without need the turn is for %s", got)
			}
		})
	})
}

// A shortage is told of once, and the subnet is looked at; once there is room, what was
// wanted comes.
func TestShortageIsToldOnce(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		giveBack, err := w.ec2.Occupy("subnet-1", second)
		if err != nil {
			t.Fatal(err)
		}
		w.shared.Subnets.Look(t.Context(), w.node.core.budget)
		go w.shared.Subnets.Run(t.Context())
		w.waits(20)
		w.serve(t)
		time.Sleep(3 * time.Minute)
		if got := w.events.of("InsufficientCidrBlocks"); len(got) != 1 {
			t.Errorf("told %d times: %q", len(got), got)
		}
		if got := w.calls(cloud.Assign); got != 0 {
			t.Errorf("%d calls were made that must fail", got)
		}
		giveBack()
		time.Sleep(3 * time.Minute)
		if c := w.counts(); c.InUse != 20 {
			t.Errorf("%+v, want all served once there is room", c)
		}
	})
}

// The interface is another instance's, or no more: the node is read anew.
func TestInterfaceHasGone(t *testing.T) {
	for name, lose := range map[string]func(w *world){
		"it is gone":      func(w *world) { _ = w.ec2.Terminate("i-1") },
		"it is another's": func(w *world) { w.node.ID.Instance = "i-2" },
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				lose(w)
				w.worker().look(t.Context())
				if got := len(w.told.goneBy()); got != 1 {
					t.Errorf("told %d times, want once", got)
				}
			})
		})
	}
}

// A describe that fails changes nothing, and is tried again ever more slowly.
func TestLookThatFails(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.serve(t)
		time.Sleep(time.Minute)
		remove := w.ec2.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Code: "UnauthorizedOperation", Action: string(cloud.DescribeInterfaces)})
		before := w.calls(cloud.DescribeInterfaces)
		w.node.core.doubtNow()
		time.Sleep(stallAfter + time.Second)
		if c, available := w.node.Capacity(); c.Remaining(available) != 16 {
			t.Errorf("%d remain, want what is free: nothing can be asked for", c.Remaining(available))
		}
		time.Sleep(5 * time.Minute)
		if got := w.calls(cloud.DescribeInterfaces) - before; got < 5 || got > 15 {
			t.Errorf("%d looks in five minutes", got)
		}
		remove()
		time.Sleep(lookPause.last)
		w.state(func(s *state) {
			if !s.doubtSince.IsZero() {
				t.Error("still in doubt")
			}
		})
	})
}

// What another Node has brought along is read before anything is done for it.
func TestI6NodeThatJoinsIsReadFirst(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.api.fail = errAway
		w.node.ID.ReadPods("renamed")
		w.waits(20)
		w.serve(t)
		time.Sleep(10 * time.Second)
		if got := w.calls(cloud.Assign); got != 0 {
			t.Fatalf("%d calls before the pods are read", got)
		}
		w.api.mu.Lock()
		w.api.fail = nil
		w.api.mu.Unlock()
		time.Sleep(10 * time.Second)
		if got := w.calls(cloud.Assign); got != 1 {
			t.Errorf("%d calls, want 1 once they are", got)
		}
	})
}

// In mode observe the worker looks, and asks EC2 for nothing.
func TestObserveChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Observe(30*time.Second))
		w.open(t)
		w.serve(t)
		w.waits(20)
		time.Sleep(3 * time.Hour)
		if changes := w.calls(cloud.Assign) + w.calls(cloud.Unassign); changes != 0 {
			t.Errorf("%d changes", changes)
		}
		if looks := w.calls(cloud.DescribeInterfaces); looks < 4 {
			t.Errorf("%d looks in three hours", looks)
		}
	})
}
