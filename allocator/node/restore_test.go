package node

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/ledger"
)

// robbed takes the prefix from under a pod, as another client of EC2, and has that seen.
func (w *world) robbed(t *testing.T) *worker {
	w.node.Observe(pod("pod", at(0)))
	time.Sleep(ledger.Settle + time.Second)
	w.take(t, prefix)
	x := w.worker()
	x.look(t.Context())
	return x
}

// What a live pod holds is taken back by name, before anything else is asked for.
func TestI6LostBlockIsTakenBack(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		x := w.robbed(t)
		w.waits(20)
		call, ok := x.begin(cloud.Assign)
		if !ok || !slices.Equal(call.Names, []netip.Prefix{prefix}) {
			t.Fatalf("begun: %t, %+v; want %s by name", ok, call, prefix)
		}
		x.settle(t.Context(), call, x.execute(t.Context(), call))
		w.state(func(s *state) {
			if s.ledger.Lacks("pod") {
				t.Error("the pod still lacks its address")
			}
		})
		if call, _ := x.begin(cloud.Assign); call.Names != nil {
			t.Errorf("%s is asked for again", call.Names)
		}
		if got := w.onENI(); !slices.Contains(got, prefix) {
			t.Errorf("the interface has %s", got)
		}
		if got := w.events.of(events.ReasonDrift); len(got) != 1 {
			t.Errorf("people were told %d times", len(got))
		}
		if got := w.events.of(events.ReasonLost); len(got) != 0 {
			t.Errorf("%q, though it could be taken back", got)
		}
	})
}

// I3: what is taken back is set aside in the subnet, so that no other call is promised it;
// where all is promised already, it waits.
func TestI3TakingBackClaims(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		x := w.robbed(t)
		b := w.node.core.budget
		all := b.Claim(ledger.Prefix, 2)
		if call, ok := x.begin(cloud.Assign); ok || all != 2 {
			t.Fatalf("begun: %+v, though %d are another's", call, all)
		}
		b.Unclaim(ledger.Prefix, 1)
		call, ok := x.begin(cloud.Assign)
		if !ok || call.Names == nil || w.available() != 0 {
			t.Fatalf("begun: %t, %+v; %d are left to others", ok, call, w.available())
		}
		b.Unclaim(ledger.Prefix, 1)
		x.settle(t.Context(), call, x.execute(t.Context(), call))
		if got := w.available(); got != 1 {
			t.Errorf("%d are left, want the other block of the subnet", got)
		}
	})
}

// Two clients that fight make no storm.
func TestTakingBackIsPaced(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		x := w.robbed(t)
		calls := 0
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
			switch call, ok := x.begin(cloud.Assign); {
			case !ok:
			case call.Names == nil: // for the pool, and no concern of this test
				x.settle(t.Context(), call, result{err: refusal(cloud.RetryLater, "RequestLimitExceeded")})
			default:
				calls++
				x.settle(t.Context(), call, result{blocks: call.Names})
				w.node.Interface.sync(nil, time.Now().Add(ledger.Settle+time.Second)) // it is taken at once
			}
		}
		if calls < 2 || calls > 6 {
			t.Errorf("asked for %d times in a minute", calls)
		}
	})
}

// The pauses grow while a block is taken again and again, and are forgotten once it was
// left alone.
func TestRestores(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.robbed(t)
		block := []netip.Prefix{prefix}
		w.state(func(s *state) {
			r, now := restores{}, time.Now()
			if got := r.due(s.ledger, s.budget, now); !slices.Equal(got, block) {
				t.Errorf("due = %s, want it at once", got)
			}
			r.asked(block, now)
			if got := r.due(s.ledger, s.budget, now.Add(restorePause.first-1)); len(got) != 0 {
				t.Errorf("due = %s within the pause", got)
			}
			if got := r.due(s.ledger, s.budget, now.Add(restorePause.first)); !slices.Equal(got, block) {
				t.Errorf("due = %s after the pause", got)
			}
			r.asked(block, now)
			if got := r[prefix].pause; got != 2*restorePause.first {
				t.Errorf("the second pause is %s, want %s", got, 2*restorePause.first)
			}
			later := r[prefix].due.Add(leftAlone + 1)
			r.asked(block, later)
			if got := r[prefix].pause; got != restorePause.first {
				t.Errorf("the pause is %s after it was left alone, want %s", got, restorePause.first)
			}
			r.asked(nil, later.Add(time.Hour))
			if len(r) != 0 {
				t.Errorf("%d blocks are remembered that were left alone", len(r))
			}
		})
	})
}

// What somebody else has by now is asked for once at the most, which costs no other call
// its turn; the pod that had it is told, once.
func TestLostForGood(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		x := w.robbed(t)
		if _, err := w.ec2.Occupy("subnet-1", prefix); err != nil {
			t.Fatal(err)
		}
		call, ok := x.begin(cloud.Assign)
		if !ok || call.Names == nil {
			t.Fatalf("begun: %t, %+v", ok, call)
		}
		r := x.execute(t.Context(), call)
		if e, is := errors.AsType[*cloud.Error](r.err); !is || e.Class == cloud.Lost {
			t.Fatalf("EC2 answers %v, want a refusal", r.err)
		}
		x.settle(t.Context(), call, r)
		w.state(func(s *state) {
			if s.stalls.assign != (stall{}) {
				t.Errorf("it counts as a failure of other calls: %+v", s.stalls.assign)
			}
		})
		time.Sleep(ledger.Settle + time.Second)
		w.shared.Subnets.Look(t.Context(), w.node.core.budget)
		x.look(t.Context())
		if call, ok := x.begin(cloud.Assign); ok && call.Names != nil {
			t.Errorf("%s is asked for, which another has", call.Names)
		}
		block := []netip.Prefix{prefix}
		w.state(func(s *state) {
			if got := unrestorable(s.ledger, s.budget, block); !slices.Equal(got, block) {
				t.Errorf("unrestorable = %s", got)
			}
		})
		w.node.Interface.tellLost(block)
		if got := w.events.of(events.ReasonLost); len(got) != 1 {
			t.Errorf("told %d times: %q", len(got), got)
		}
	})
}

// Somebody else may be quicker than the block is taken back, or it was lost before this
// leader began: the pod is told with the next look at the subnet, once.
func TestLostForGoodMeanwhile(t *testing.T) {
	for name, lose := range map[string]func(*testing.T, *world){
		"while EC2 throttles": func(t *testing.T, w *world) {
			x := w.robbed(t)
			call, ok := x.begin(cloud.Assign)
			if !ok || call.Names == nil {
				t.Fatalf("begun: %t, %+v", ok, call)
			}
			x.settle(t.Context(), call, result{err: refusal(cloud.RetryLater, "RequestLimitExceeded")})
		},
		"before the leader began": func(t *testing.T, w *world) {
			w.take(t, prefix)
			w.node.Interface.sync(nil, time.Now().Add(ledger.Settle+time.Second)) // it is discovered without it
			w.node.Observe(pod("pod", at(0)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				lose(t, w)
				look := func(want int) {
					time.Sleep(ledger.Settle + time.Second)
					w.shared.Subnets.Look(t.Context(), w.node.core.budget)
					if got := w.events.of(events.ReasonLost); len(got) != want {
						t.Errorf("told %d times more, want %d: %q", len(got), want, got)
					}
				}
				look(0) // it can be taken back yet
				if _, err := w.ec2.Occupy("subnet-1", prefix); err != nil {
					t.Fatal(err)
				}
				look(1)
				look(0)
			})
		})
	}
}

// What EC2 shows on the interface is not lost, though the ledger has not taken it up yet.
func TestOnItsWayBack(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		x := w.robbed(t)
		call, ok := x.begin(cloud.Assign)
		if !ok || call.Names == nil {
			t.Fatalf("begun: %t, %+v", ok, call)
		}
		r := x.execute(t.Context(), call)
		time.Sleep(ledger.Settle + time.Second)
		w.shared.Subnets.Look(t.Context(), w.node.core.budget)
		if got := w.events.of(events.ReasonLost); len(got) != 0 {
			t.Errorf("%q, though it is back", got)
		}
		x.settle(t.Context(), call, r)
	})
}
