package node

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/pods"
)

// total is what the node shows.
func (w *world) total() int {
	c, available := w.node.Capacity()
	return c.Total(available)
}

// I9: a node's total holds what kubelets still count, whatever Slotwise gives of it.
func TestI9TotalHoldsWhatKubeletsCount(t *testing.T) {
	asks := func(n int) pods.Pod {
		p := pod("a", at(0))
		p.Asks = n
		return p
	}
	for name, c := range map[string]struct {
		pods  func(w *world)
		total int // of 2 slots, one of them with a prefix
		free  int32
	}{
		"none":                                 {func(*world) {}, 32, 16},
		"one runs":                             {func(w *world) { w.holds(1) }, 32, 15},
		"one has ended":                        {func(w *world) { w.holds(1); w.node.Ended("a", 0) }, 32, 15},
		"one ended slowly":                     {func(w *world) { w.holds(1); w.node.Ended("a", time.Hour) }, 32, 15},
		"one that asks for nothing is no load": {func(w *world) { w.node.Observe(asks(0)) }, 31, 15},
		"nor is it once it has ended": {func(w *world) {
			w.node.Observe(asks(0))
			w.node.Ended("a", 0)
		}, 31, 15},
		"one that asks for three is a load of three": {func(w *world) { w.node.Observe(asks(3)) }, 34, 15},
		"and until its sandbox is gone": {func(w *world) {
			w.node.Observe(asks(3))
			w.node.Ended("a", 0)
		}, 34, 15},
		"one that ended before it had an address": {func(w *world) {
			w.holds(1)
			w.gate.off.Store(true) // nothing is given
			w.node.Observe(pod("b", netip.Addr{}))
			w.gate.off.Store(false)
			w.node.Ended("b", 0)
		}, 33, 15},
		"one of another Node of the instance": {func(w *world) {
			p := asks(3)
			p.Node = "left-over"
			w.node.Observe(p)
			w.node.Ended("a", 0)
		}, 31, 15},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				c.pods(w)
				if got := w.total(); got != c.total {
					t.Errorf("shows %d, want %d", got, c.total)
				}
				n, available := w.node.Capacity()
				if room := n.Room(available); room.Reason != capacity.Fits || room.Free != c.free {
					t.Errorf("room = %+v, want %d free", room, c.free)
				}
			})
		})
	}
}

// Once its time is over, nothing is counted for a pod that has ended; the clock takes that
// in.
func TestI9AftermathPasses(t *testing.T) {
	for name, c := range map[string]struct {
		pod    pods.Pod
		before int // what the node shows until then
	}{
		"it had an address":      {pods.Pod{Address: at(0), Asks: 3}, 34},
		"it never had one":       {pods.Pod{Asks: 1}, 33},
		"nor asked for anything": {pods.Pod{Address: at(0)}, 31},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				p := pod("a", c.pod.Address)
				p.Asks = c.pod.Asks
				w.gate.off.Store(true) // nothing is given
				w.node.Observe(p)
				w.gate.off.Store(false)
				w.node.Ended("a", 10*time.Second)
				w.serve(t)
				time.Sleep(39 * time.Second)
				if got := w.total(); got != c.before {
					t.Errorf("shows %d before the sandbox is sure to be gone, want %d", got, c.before)
				}
				time.Sleep(10 * time.Second)
				if got := w.total(); got != 32 {
					t.Errorf("shows %d after it, want 32", got)
				}
			})
		})
	}
}

// Pods that others have bound wait for what cools, and not beside it: there is one
// address for the two of them.
func TestI9TotalCountsWhatCoolsOnce(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.state(func(s *state) { s.ledger.SetSlots(1) })
		w.holds(16)
		w.node.Ended("a", 0)
		if got := w.total(); got != 16 {
			t.Errorf("shows %d, want 15 in use and 1 that cools", got)
		}
		w.waits(1)
		if got := w.total(); got != 16 {
			t.Errorf("shows %d though a pod waits for what cools, want 16", got)
		}
	})
}

// A kubelet that takes fewer pods than there are addresses for: what remains of them is
// not usable, nothing warms it, and an event names the flag.
func TestMaxPods(t *testing.T) {
	for name, c := range map[string]struct {
		maxPods, onHost, pods int
		usable, want          int // pods, and prefixes that may be warmed of 9
		event                 string
	}{
		"unknown":                     {0, 0, 0, 32, 9, ""},
		"enough":                      {40, 2, 3, 29, 3, ""},
		"too few":                     {10, 0, 3, 7, 1, "--max-pods=32"},
		"too few, beside host's pods": {20, 2, 1, 17, 2, "--max-pods=34"},
		"all taken":                   {4, 1, 3, 0, 1, "--max-pods=33"},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				for _, uid := range uids('A', c.onHost) {
					p := pod(uid, netip.Addr{})
					p.OnHost, p.Asks, p.Wants = true, 0, false
					w.node.Observe(p)
				}
				w.holds(c.pods)
				w.node.ID.Rename(Names{Offers: "win-1", MaxPods: c.maxPods})
				w.node.Refresh()
				w.node.Refresh() // told once
				n, available := w.node.Capacity()
				if got := n.Usable(available); got != c.usable {
					t.Errorf("%d usable, want %d of %d", got, c.usable, n.Remaining(available))
				}
				w.state(func(s *state) {
					if got := s.totals.usableBlocks(9, s.ledger.Counts()); got != c.want {
						t.Errorf("%d prefixes are of use, want %d", got, c.want)
					}
				})
				told := w.events.of(events.ReasonMaxPods)
				if all := strings.Join(told, "\n"); len(told) > 1 || (all == "") != (c.event == "") || !strings.Contains(all, c.event) {
					t.Errorf("events: %q, want one with %q", all, c.event)
				}
			})
		})
	}
}

// A pod on the host's network has no address, and waits for none.
func TestPodOnTheHostsNetwork(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		p := pod("agent", netip.Addr{})
		p.OnHost, p.Asks, p.Wants = true, 0, false
		w.node.Observe(p)
		if c := w.counts(); c.InUse+c.Waiting > 0 {
			t.Errorf("%+v", c)
		}
		w.node.Ended("agent", 0)
		if load, binding := w.node.Pods().Load("win-1"); load != (pods.Load{}) || binding != 0 {
			t.Errorf("it is still counted: %+v", load)
		}
		if got := w.total(); got != 32 {
			t.Errorf("shows %d, want 32", got)
		}
	})
}

// A pod that was bound past the extender, and for which there is nothing, is told so, once.
func TestPodThatHangsIsTold(t *testing.T) {
	virtually(t, func(t *testing.T, w *world) {
		w.state(func(s *state) { s.ledger.SetSlots(1) })
		w.holds(16)
		w.waits(1)
		for _, step := range []struct {
			after time.Duration
			want  int // events
		}{{0, 0}, {tellAfter - time.Second, 0}, {time.Second, 1}, {time.Hour, 0}} {
			time.Sleep(step.after)
			w.waits(1) // the watch shows it once more
			w.node.TellHanging(time.Now())
			if got := w.events.of(events.ReasonFailed); len(got) != step.want {
				t.Errorf("told %d times, want %d: %q", len(got), step.want, got)
			}
		}
	})
}

// What NodeSlots shows: the free addresses only where none was given for a while, where
// none may be in flight, and where nobody else gives them.
func TestStatus(t *testing.T) {
	const still = 5 * time.Second
	for name, c := range map[string]struct {
		prepare func(t *testing.T, w *world)
		free    int           // entries of the list
		wait    time.Duration // until there may be one
		ready   bool
	}{
		"nothing is going on": {func(*testing.T, *world) {}, 1, 0, true},
		"one was given a moment ago": {func(_ *testing.T, w *world) {
			w.waits(1)
			time.Sleep(time.Second)
		}, 0, still - time.Second, true},
		"one was given a while ago": {func(_ *testing.T, w *world) {
			w.waits(1)
			time.Sleep(still)
		}, 4, 0, true}, // 15 addresses, as a /29, a /30, a /31 and a /32
		"one is being bound": {func(t *testing.T, w *world) {
			if _, _, err := w.obtain(t.Context(), "pod"); err != nil {
				t.Error(err)
			}
			time.Sleep(still)
		}, 0, 0, true},
		"turned off": {func(_ *testing.T, w *world) { w.gate.off.Store(true) }, 0, 0, true},
		"retired":    {func(_ *testing.T, w *world) { w.node.Retire() }, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, w *world) {
				time.Sleep(time.Hour)
				c.prepare(t, w)
				got, wait, ready := w.node.Status(still)
				if len(got.KnownFree) != c.free || max(0, wait) != c.wait || ready != c.ready {
					t.Errorf("%d entries, wait %s, ready %t; want %d, %s, %t", len(got.KnownFree), wait, ready, c.free, c.wait, c.ready)
				}
				if ready && (got.NetworkInterface != w.eni || got.Subnet != "subnet-1" || got.Prefixes != 1 || got.Slots != 2) {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}
