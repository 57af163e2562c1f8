package ledger

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

func TestFollow(t *testing.T) {
	for name, c := range map[string]struct {
		ledger        *Ledger
		observed      []string
		want          Drift
		free, cooling int
	}{
		"a new prefix is free at once": {
			ledger: on(14, Prefix, nil), observed: []string{"10.0.0.16/28"},
			want: Drift{Appeared: blocks("10.0.0.16/28")}, free: 16,
		},
		"what cools in it goes on cooling": {
			ledger: coolingAway(on(14, Prefix, nil), "10.0.0.17"), observed: []string{"10.0.0.16/28"},
			want: Drift{Appeared: blocks("10.0.0.16/28")}, free: 15, cooling: 1,
		},
		"what was given back is gone": {
			ledger: on(14, Prefix, []string{"10.0.0.16/28"}), want: Drift{Vanished: blocks("10.0.0.16/28")},
		},
		"a pod whose address was taken away is told of": {
			ledger: on(14, SecondaryIP, []string{"10.0.0.9/32"}, "10.0.0.9"),
			want:   Drift{Vanished: blocks("10.0.0.9/32"), Stranded: []types.UID{"pod-10.0.0.9"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			now := epoch.Add(Settle + time.Second)
			got := c.ledger.Follow(blocks(c.observed...), now, now)
			if diff := cmp.Diff(c.want, got, samePrefix); diff != "" {
				t.Errorf("Follow() (-want +got):\n%s", diff)
			}
			if n := c.ledger.Counts(); n.Free != c.free || n.Cooling != c.cooling {
				t.Errorf("%d addresses are free and %d cool, want %d and %d", n.Free, n.Cooling, c.free, c.cooling)
			}
		})
	}
}

// coolingAway lets a pod end whose address is on no block of the ENI.
func coolingAway(l *Ledger, a string) *Ledger {
	l.Hold("ended", netip.MustParseAddr(a), l.mode, epoch)
	l.End("ended", epoch)
	return l
}

func TestReveal(t *testing.T) {
	for name, c := range map[string]struct {
		ledger  *Ledger
		address string
		kind    Kind
		want    Drift
		free    int
		open    int
	}{
		"an address out of a prefix": {
			ledger: on(14, Prefix, nil), address: "10.0.0.20", kind: Prefix,
			want: Drift{Appeared: blocks("10.0.0.16/28")}, free: 15, open: 13,
		},
		"a secondary IP": {
			ledger: on(14, SecondaryIP, nil), address: "10.0.0.20", kind: SecondaryIP,
			want: Drift{Appeared: blocks("10.0.0.20/32")}, open: 13,
		},
		"a block that is known": {
			ledger: on(14, Prefix, []string{"10.0.0.16/28"}), address: "10.0.0.20", kind: Prefix, free: 15, open: 13,
		},
		"an idle block must have made room for it": {
			ledger: on(2, Prefix, []string{"10.0.0.32/28", "10.0.0.48/28"}, "10.0.0.40"), address: "10.0.0.20", kind: Prefix,
			want: Drift{Appeared: blocks("10.0.0.16/28"), Vanished: blocks("10.0.0.48/28")}, free: 15 + 15,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := netip.MustParseAddr(c.address)
			c.ledger.Wait("new")
			got := c.ledger.Reveal("new", a, c.kind, epoch)
			if diff := cmp.Diff(c.want, got, samePrefix); diff != "" {
				t.Errorf("Reveal() (-want +got):\n%s", diff)
			}
			if n := c.ledger.Counts(); n.Free != c.free || n.Open != c.open || n.Waiting != 0 {
				t.Errorf("%d addresses are free, %d slots open, %d pods wait; want %d, %d and none", n.Free, n.Open, n.Waiting, c.free, c.open)
			}
		})
	}
}

// A pod that has got an address shows that its block is on the ENI: a describe that does
// not show it may lag.
func TestRevealShowsTheBlock(t *testing.T) {
	l, now := on(14, Prefix, []string{"10.0.0.16/28"}), epoch.Add(time.Hour)
	l.Reveal("new", netip.MustParseAddr("10.0.0.20"), Prefix, now)
	if d := l.Follow(nil, now.Add(Settle), now.Add(Settle)); !d.None() {
		t.Errorf("Follow() = %+v of a describe that may lag", d)
	}
	late := now.Add(Settle + 1)
	if d := l.Follow(nil, late, late); !slices.Equal(d.Stranded, []types.UID{"new"}) {
		t.Errorf("Follow() = %+v; want the pod to have lost its address", d)
	}
}

// neighbour is another allocator that keeps an ENI, and a ledger that follows
// it: by describes that may lag, and by annotations that are seen late.
type neighbour struct {
	*rapid.T
	l         *Ledger
	slots     int
	mode      Kind
	now       time.Time
	next      int
	eni       []netip.Prefix
	past      []snapshot
	holders   map[types.UID]netip.Addr
	cooling   map[netip.Addr]time.Time
	waiting   []types.UID // bound, without an address
	annotated []types.UID // with an address that the ledger has not heard of
	certain   time.Time   // a describe from then on shows the present mode's work
	closed    bool        // until there was one
}

// adapt is how long the other allocator goes on in the old mode.
const adapt = 5 * time.Second

func newNeighbour(t *rapid.T) *neighbour {
	mode, slots := Kind(rapid.IntRange(0, 1).Draw(t, "mode")), rapid.IntRange(1, 5).Draw(t, "slots")
	return &neighbour{
		T: t, slots: slots, mode: mode, l: New(slots, mode), now: time.Unix(1_000_000, 0),
		holders: map[types.UID]netip.Addr{}, cooling: map[netip.Addr]time.Time{},
	}
}

// acting is the mode in which the other allocator is at work.
func (w *neighbour) acting() Kind {
	if w.now.Before(w.certain.Add(-Settle)) && rapid.Bool().Draw(w.T, "in the old mode yet") {
		return other(w.mode)
	}
	return w.mode
}

func (w *neighbour) change(eni []netip.Prefix) {
	w.past = append(w.past, snapshot{w.now, slices.Clone(w.eni)})
	w.eni = eni
}

func (w *neighbour) holds(a netip.Addr) bool {
	for _, held := range w.holders {
		if held == a {
			return true
		}
	}
	return false
}

// each calls f with the addresses of a block.
func each(b netip.Prefix, f func(netip.Addr)) {
	for a := b.Masked().Addr(); b.Contains(a); a = a.Next() {
		f(a)
	}
}

// capacity is how many pods can still get an address in the end, less those that
// wait for one.
func (w *neighbour) capacity() int {
	n := (w.slots-len(w.eni))*w.mode.Addresses() - len(w.waiting)
	for _, b := range w.eni {
		if KindOf(b) == w.mode {
			each(b, func(a netip.Addr) {
				if !w.holds(a) {
					n++
				}
			})
		}
	}
	return n
}

func (w *neighbour) pick(from []types.UID) int {
	if len(from) == 0 {
		w.Skip("no pod")
	}
	return rapid.IntRange(0, len(from)-1).Draw(w.T, "pod")
}

func (w *neighbour) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"pods are bound, as many as the ledger lets": func(t *rapid.T) {
			w.T = t
			for n := rapid.IntRange(1, 20).Draw(t, "pods"); n > 0 && !w.closed && w.l.Counts().Remaining(w.slots) > 0; n-- {
				w.next++
				pod := types.UID(string(rune('a' + w.next)))
				w.l.Wait(pod)
				w.waiting = append(w.waiting, pod)
				if c := w.capacity(); c < 0 {
					t.Fatalf("%d pods more were bound than can get an address; ENI %v, ledger %+v", -c, w.eni, w.l.Counts())
				}
			}
		},
		"the other takes a block": func(t *rapid.T) {
			w.T = t
			if len(w.eni) < w.slots {
				w.change(append(slices.Clone(w.eni), w.fresh(w.acting())))
			}
		},
		"the other gives an idle block back": func(t *rapid.T) {
			w.T = t
			for i, b := range w.eni {
				idle := true
				each(b, func(a netip.Addr) { idle = idle && !w.holds(a) && !w.now.Before(w.cooling[a]) })
				if idle && rapid.Bool().Draw(t, "this one") {
					w.change(slices.Delete(slices.Clone(w.eni), i, i+1))
					return
				}
			}
		},
		"the other gives addresses to pods that wait": func(t *rapid.T) { w.T = t; w.give(w.acting()) },
		"an annotation is seen": func(t *rapid.T) {
			w.T = t
			i := w.pick(w.annotated)
			pod := w.annotated[i]
			w.annotated = slices.Delete(w.annotated, i, i+1)
			a := w.holders[pod]
			w.l.Reveal(pod, a, KindOf(w.block(a)), w.now)
		},
		"a pod ends": func(t *rapid.T) {
			w.T = t
			var pods []types.UID
			for p := range w.holders {
				if !slices.Contains(w.annotated, p) {
					pods = append(pods, p)
				}
			}
			slices.Sort(pods)
			pod := pods[w.pick(pods)]
			w.cooling[w.holders[pod]] = w.now.Add(Cooldown)
			delete(w.holders, pod)
			w.l.End(pod, w.now)
		},
		"a describe": func(t *rapid.T) {
			w.T = t
			seen := w.eni
			if rapid.Bool().Draw(t, "stale") {
				for _, s := range slices.Backward(w.past) {
					if w.now.Sub(s.at) > Settle {
						break
					}
					seen = s.eni
				}
			}
			w.l.Follow(seen, w.now, w.now)
			w.closed = w.closed && w.now.Before(w.certain)
		},
		"the mode flips": func(t *rapid.T) {
			w.T = t
			w.mode = other(w.mode)
			w.l.SetMode(w.mode)
			w.certain, w.closed = w.now.Add(adapt+Settle), true
		},
		"time passes": func(t *rapid.T) {
			w.T = t
			w.now = w.now.Add(rapid.SampledFrom([]time.Duration{time.Second, 4 * time.Second, Settle, Cooldown}).Draw(t, "time"))
			w.l.Advance(w.now)
		},
	}
}

func (w *neighbour) block(a netip.Addr) netip.Prefix {
	return w.eni[slices.IndexFunc(w.eni, func(b netip.Prefix) bool { return b.Contains(a) })]
}

// give gives what is free to the pods that wait.
func (w *neighbour) give(mode Kind) {
	for _, b := range w.eni {
		if KindOf(b) != mode {
			continue
		}
		each(b, func(a netip.Addr) {
			if len(w.waiting) == 0 || w.holds(a) || w.now.Before(w.cooling[a]) {
				return
			}
			w.holders[w.waiting[0]] = a
			w.annotated = append(w.annotated, w.waiting[0])
			w.waiting = w.waiting[1:]
		})
	}
}

// fresh finds the lowest block that the ENI does not have, and has not had a
// moment ago.
func (w *neighbour) fresh(k Kind) netip.Prefix {
	b := BlockOf(netip.MustParseAddr([]string{"10.0.1.0", "10.0.0.0"}[k]), k)
	for {
		used := slices.Contains(w.eni, b) || slices.ContainsFunc(w.past, func(s snapshot) bool {
			return w.now.Sub(s.at) <= Settle && slices.Contains(s.eni, b)
		})
		if !used {
			return b
		}
		b = BlockOf(lastOf(b).Next(), k)
	}
}

// TestFollowerBindsOnlyWhatFits: beside another allocator, whatever that one
// does and however late it is seen, no pod is bound that can never get an
// address; and once everything is seen, the count is right.
func TestFollowerBindsOnlyWhatFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newNeighbour(t)
		t.Repeat(w.actions())
		w.settle(t)
	})
}

// settle lets everything be seen.
func (w *neighbour) settle(t *rapid.T) {
	for _, pod := range w.annotated {
		a := w.holders[pod]
		w.l.Reveal(pod, a, KindOf(w.block(a)), w.now)
	}
	for range 2 {
		w.now = w.now.Add(Cooldown)
		w.l.Advance(w.now)
		w.l.Follow(w.eni, w.now, w.now)
	}
	if got, want := w.l.Counts().Remaining(w.slots), w.capacity(); got != want {
		t.Fatalf("the ledger counts %d, and %d pods can get an address", got, want)
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	four := p.Addr().As4()
	four[3] += byte(1<<(32-p.Bits()) - 1)
	return netip.AddrFrom4(four)
}
