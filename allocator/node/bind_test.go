package node

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/annotate"
	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/policy"
	"slotwise.dev/slotwise/test/ec2sim"
)

func isReason(err error, want capacity.Reason) bool {
	e, is := errors.AsType[*capacity.Error](err)
	return is && e.Reason == want
}

// answers are what a bind that runs in the background comes to.
type answers struct {
	attempt *pods.Attempt
	address netip.Prefix
	err     error
}

// obtaining is a bind in the background.
func (w *world) obtaining(ctx context.Context, uid types.UID) <-chan answers {
	answer := make(chan answers, 1)
	go func() {
		a, address, err := w.obtain(ctx, uid)
		answer <- answers{a, address, err}
	}()
	synctest.Wait()
	return answer
}

// answered is what a bind has come to, false where it still waits.
func answered(answer <-chan answers) (a answers, over bool) {
	synctest.Wait()
	select {
	case a = <-answer:
		return a, true
	default:
		return a, false
	}
}

// What is free is given at once, the address as EC2 has it: one out of a prefix is a /32,
// a secondary IP has the mask of the subnet.
func TestI4Obtain(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		a, address, err := w.obtain(t.Context(), "pod")
		if err != nil || a == nil || address.Bits() != 32 || !prefix.Contains(address.Addr()) {
			t.Fatalf("Obtain = %v, %s, %v", a, address, err)
		}
		if held, _ := w.holder("pod"); held != address.Addr() {
			t.Errorf("the ledger has %s for it, want %s", held, address)
		}
		if posts, _ := a.Posts(time.Now()); posts != 1 {
			t.Errorf("noted as posted %d times, want once", posts)
		}
	})
	if got, want := format(ledger.Grant{Address: at(0), Kind: ledger.SecondaryIP}, 26), netip.PrefixFrom(at(0), 26); got != want {
		t.Errorf("a secondary IP is %s, want %s", got, want)
	}
}

// Why nothing can be taken at all.
func TestObtainIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(w *world)
		want    func(error) bool
	}{
		"turned off":        {func(w *world) { w.gate.off.Store(true) }, func(err error) bool { return isReason(err, capacity.Off) }},
		"a follower":        {func(w *world) { w.gate.follows.Store(true) }, func(err error) bool { return errors.Is(err, kube.ErrNotLeading) }},
		"pods are not read": {func(w *world) { w.gate.podsRead = make(chan struct{}) }, func(err error) bool { return isReason(err, capacity.NotReady) }},
		"retired":           {func(w *world) { w.node.Retire() }, func(err error) bool { return isReason(err, capacity.NotReady) }},
		"full": {func(w *world) {
			w.state(func(s *state) { s.ledger.SetSlots(1) })
			w.holds(16)
		}, func(err error) bool { return isReason(err, capacity.Full) }},
		"the subnet has nothing": {func(w *world) {
			w.node.core.budget.Claim(ledger.Prefix, 2)
			w.holds(16)
		}, func(err error) bool { return isReason(err, capacity.NoRoomInSubnet) }},
		"EC2 refuses": {func(w *world) {
			w.holds(16)
			w.state(func(s *state) {
				s.stalls.assign.end(cloud.Refused, refusal(cloud.Refused, "UnauthorizedOperation"), time.Now())
			})
		}, func(err error) bool {
			e, is := errors.AsType[*capacity.Error](err)
			return is && e.Reason == capacity.Refused && e.Detail == "UnauthorizedOperation"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				c.prepare(w)
				before := w.counts()
				if _, _, err := w.obtain(t.Context(), "pod"); !c.want(err) {
					t.Errorf("Obtain = %v", err)
				}
				if got := w.counts(); got != before {
					t.Errorf("%+v is left, want %+v", got, before)
				}
				if w.shared.Pods.Latest("pod") != nil {
					t.Error("an attempt is left")
				}
			})
		})
	}
}

// A pod on another node still has an address that EC2 has given to this one: the pod
// that draws it draws again, and does not wait until it has cooled.
func TestI1ContestedAddressIsDrawnAgain(t *testing.T) {
	for name, draw := range map[string]func(t *testing.T, w *world, uid types.UID){
		"a bind": func(t *testing.T, w *world, uid types.UID) {
			if _, _, err := w.obtain(t.Context(), uid); err != nil {
				t.Error(err)
			}
		},
		"a pod that others have bound": func(_ *testing.T, w *world, uid types.UID) { w.node.Observe(pod(uid, netip.Addr{})) },
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				for i, uid := range uids('s', 2) {
					stranger := pod(uid, at(byte(i)))
					stranger.Node = "unknown"
					w.shared.Pods.Place(stranger, time.Now())
				}
				for _, uid := range uids('a', 3) {
					draw(t, w, uid)
					if got, _ := w.holder(uid); !got.IsValid() || got == at(0) || got == at(1) {
						t.Errorf("%s got %s", uid, got)
					}
				}
			})
		})
	}
}

// I9: what a node shows more of is counted on once its kubelet is sure to see it.
func TestI9BindWaitsForTheKubelet(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.node.Shown.Note("win-1", 0, time.Now())
		answer := w.obtaining(t.Context(), "pod")
		time.Sleep(time.Second)
		w.node.Shown.Note("win-1", 32, time.Now())
		time.Sleep(kubeletLag - lookAgainAfter)
		if a, over := answered(answer); over {
			t.Fatalf("it did not wait: %+v", a)
		}
		time.Sleep(2 * lookAgainAfter)
		if a, over := answered(answer); !over || a.err != nil {
			t.Errorf("over: %t, %v", over, a.err)
		}
	})
}

// A bind that no kubelet would take in time is not posted, and keeps no address.
func TestI9BindNotShownInTime(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.node.Shown.Note("win-1", 0, time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, _, err := w.obtain(ctx, "pod"); !errors.Is(err, errNotShown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Obtain = %v, want %v", err, errNotShown)
		}
		if c := w.counts(); c.Free != 16 || w.shared.Pods.Latest("pod") != nil {
			t.Errorf("%d addresses are free, attempt left: %t", c.Free, w.shared.Pods.Latest("pod") != nil)
		}
	})
}

// A bind that EC2 does not serve in time keeps nothing.
func TestObtainNotInTime(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.holds(16)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, _, err := w.obtain(ctx, "pod"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Obtain = %v", err)
		}
		if c := w.counts(); c.Waiting != 0 || w.available() != 1 {
			t.Errorf("%+v, %d prefixes available; want nobody waiting and 1", c, w.available())
		}
	})
}

// A bind whose address must come from EC2 gets it from the call that the worker makes.
func TestObtainWaitsForEC2(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.ec2.SetLatency(ec2sim.AnyAction, ec2sim.Latency{Mean: 2 * time.Second})
		w.holds(16)
		w.serve(t)
		answer := w.obtaining(t.Context(), "pod")
		if got := w.available(); got != 0 {
			t.Errorf("%d prefixes are left to others while one waits, want 0", got)
		}
		time.Sleep(time.Second)
		if a, over := answered(answer); over {
			t.Fatalf("answered before EC2: %+v", a)
		}
		time.Sleep(3 * time.Second)
		if a, over := answered(answer); !over || a.err != nil || !second.Contains(a.address.Addr()) {
			t.Errorf("over: %t, %+v", over, a)
		}
	})
}

// When what the subnet seemed to have is not there, those that can still be served are,
// and the latest binds are turned away.
func TestLatestBindsAreTurnedAway(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.holds(15)
		w.gate.off.Store(true) // so that nobody is served yet
		w.gate.off.Store(false)
		w.state(func(s *state) { s.ledger.End("a", time.Now()) }) // one cools
		first, ctx := w.obtaining(t.Context(), "first"), t.Context()
		time.Sleep(time.Second)
		older := w.obtaining(ctx, "older")
		time.Sleep(time.Second)
		latest := w.obtaining(ctx, "latest")
		if a, over := answered(first); !over || a.err != nil {
			t.Fatalf("the one that is free is not given: %t, %+v", over, a)
		}
		w.state(func(s *state) {
			s.stalls.assign.end(cloud.Refused, refusal(cloud.Refused, "UnauthorizedOperation"), time.Now())
		})
		w.node.Refresh()
		for name, answer := range map[string]<-chan answers{"older": older, "latest": latest} {
			if a, over := answered(answer); !over || !isReason(a.err, capacity.Refused) {
				t.Errorf("%s: over %t, %v", name, over, a.err)
			}
		}
	})
}

// One address is left for two: the bind that came first gets it.
func TestLastBindGoesFirst(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.holds(16)
		older := w.obtaining(t.Context(), "older")
		time.Sleep(time.Second)
		latest := w.obtaining(t.Context(), "latest")
		w.state(func(s *state) {
			s.ledger.SetSlots(1) // nothing is to come
			s.pods.Remove("a", time.Now())
			s.ledger.Cancel("a", time.Now())
			s.dismissUnfit(1, time.Now())
		})
		if a, over := answered(latest); !over || !isReason(a.err, capacity.Full) {
			t.Errorf("the latest: over %t, %v", over, a.err)
		}
		w.node.Refresh()
		if a, over := answered(older); !over || a.err != nil {
			t.Errorf("the older: over %t, %v", over, a.err)
		}
	})
}

// Before the process ends, binds that wait are turned away.
func TestTurnAway(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.holds(16)
		answer := w.obtaining(t.Context(), "pod")
		w.node.Binds.TurnAway()
		if a, over := answered(answer); !over || !errors.Is(a.err, kube.ErrNotLeading) {
			t.Errorf("over: %t, %v", over, a.err)
		}
	})
}

// A node that goes turns its binds away, and gives back what it had set aside.
func TestRetire(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.holds(16)
		answer := w.obtaining(t.Context(), "pod")
		w.node.Retire()
		if a, over := answered(answer); !over || !isReason(a.err, capacity.Unknown) {
			t.Errorf("over: %t, %v", over, a.err)
		}
		if got := w.available(); got != 1 {
			t.Errorf("%d prefixes are available, want 1", got)
		}
	})
}

// A second bind of a pod overtakes the first; the address goes to the second.
func TestObtainIsOvertaken(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.holds(16)
		first := w.obtaining(t.Context(), "pod")
		second := w.obtaining(t.Context(), "pod")
		if a, over := answered(first); !over || !errors.Is(a.err, pods.ErrOvertaken) {
			t.Errorf("the first: over %t, %v", over, a.err)
		}
		w.serve(t)
		time.Sleep(5 * time.Second)
		if a, over := answered(second); !over || a.err != nil {
			t.Errorf("the second: over %t, %v", over, a.err)
		}
	})
}

// I1: a bind whose attempt has ended meanwhile, because another look found it come to
// nothing or the node has gone, has lost its address to whoever asks next.
func TestI1EndedAttemptIsNotPosted(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		b := w.node.Binds
		x, err := b.request(types.NamespacedName{Name: "pod"}, "pod")
		if err != nil {
			t.Fatal(err)
		}
		granted := <-x.answer
		b.Drop(x.attempt, 0, false)
		if _, err := b.post(x, granted); !errors.Is(err, pods.ErrOvertaken) {
			t.Errorf("post = %v, want %v", err, pods.ErrOvertaken)
		}
		if c := w.counts(); c.InUse != 0 {
			t.Errorf("%+v: it keeps an address", c)
		}
	})
}

// What the API server said before a post says nothing about it, neither while it is
// under way nor once it was carried out.
func TestI1AttemptUnderWayIsNotDropped(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		a, _, err := w.obtain(t.Context(), "pod")
		if err != nil {
			t.Fatal(err)
		}
		const looked = 0 // posts when the API server was asked
		w.node.Binds.Drop(a, looked, false)
		a.Posted(false, time.Now())
		w.node.Binds.Drop(a, looked, false)
		if !a.Current() {
			t.Error("a look from before the post has ended the attempt")
		}
	})
}

// I2: what a dropped attempt may have used cools; what it certainly has not is free.
func TestI2Drop(t *testing.T) {
	for name, used := range map[string]bool{"it may have been used": true, "it was not": false} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				a, _, err := w.obtain(t.Context(), "pod")
				if err != nil {
					t.Fatal(err)
				}
				w.node.Binds.Drop(a, 1, used)
				if got := w.counts().Cooling == 1; got != used {
					t.Errorf("it cools: %t, want %t", got, used)
				}
				if a.Current() {
					t.Error("the attempt goes on")
				}
			})
		})
	}
}

// A bind of a pod that the watch has shown here is no new one.
func TestI6BoundAlready(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.node.Observe(pod("pod", at(3)))
		a, _, err := w.obtain(t.Context(), "pod")
		if err != nil || a != nil || w.shared.Pods.Latest("pod") != nil {
			t.Errorf("Obtain = %v, %v: there is an attempt that the watch will never end", a, err)
		}
	})
}

// An annotation that was on its way for long may no longer be true.
func TestI1AnnotationIsStillOwed(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(w *world)
		want      bool
	}{
		"nothing":     {func(*world) {}, true},
		"written":     {func(w *world) { w.node.Observe(pod("pod", at(0))) }, true},
		"another":     {func(w *world) { w.node.Observe(pod("pod", at(5))) }, false},
		"pod's end":   {func(w *world) { w.node.Ended("pod", 0) }, false},
		"node's end":  {func(w *world) { w.node.Retire() }, false},
		"turned off":  {func(w *world) { w.gate.off.Store(true) }, false},
		"other again": {func(w *world) { w.state(func(s *state) { s.ledger.End("pod", time.Now()) }) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				w.node.Observe(pod("pod", netip.Addr{}))
				held, _ := w.holder("pod")
				x := annotate.Annotation{UID: "pod", Node: "win-1", Address: netip.PrefixFrom(held, 32)}
				if held != at(0) {
					t.Fatalf("it was given %s", held)
				}
				c.meanwhile(w)
				if got := w.node.Binds.Owes(x); got != c.want {
					t.Errorf("owed: %t, want %t", got, c.want)
				}
			})
		})
	}
}

// A pod that another scheduler was quicker to bind here gets the address that was given
// to it in the bind.
func TestI6AddressGivenToABindThatLost(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		_, address, err := w.obtain(t.Context(), "pod")
		if err != nil {
			t.Fatal(err)
		}
		w.node.Observe(pod("pod", netip.Addr{}))
		time.Sleep(time.Second)
		if got := w.api.given()["pod"]; got != address {
			t.Errorf("annotated with %s, want %s", got, address)
		}
	})
}

// In mode observe a pod is bound without an address, which another allocator gives it,
// where there is one to be had; it waits in the ledger until its annotation shows.
func TestObserveBindsWithoutAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Observe(30*time.Second))
		w.assign(t, prefix)
		w.open(t)
		w.node.Shown.Note("win-1", 32, time.Now())
		time.Sleep(kubeletLag)
		a, address, err := w.obtain(t.Context(), "pod")
		if err != nil || a == nil || address.IsValid() {
			t.Fatalf("Obtain = %v, %s, %v", a, address, err)
		}
		if c := w.counts(); c.Waiting != 1 {
			t.Errorf("%+v, want it to wait", c)
		}
		w.node.Observe(pod("pod", at(3)))
		if got, _ := w.holder("pod"); got != at(3) {
			t.Errorf("it holds %s, want what its annotation shows", got)
		}
		w.holds(3)
		w.node.Observe(pod("elsewhere", second.Addr()))
		if c := w.counts(); c.Prefixes != 2 || w.available() != 0 {
			t.Errorf("%+v, %d left in the subnet: an annotation shows a second prefix", c, w.available())
		}
	})
}
