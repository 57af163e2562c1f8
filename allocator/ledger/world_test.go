package ledger

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

// world is one ENI with everything around it: an EC2 that answers late, not
// at all, or from the past; pods that come and go; another client that changes the ENI. It
// shares no code with the ledger, and remembers who used which address when.
type world struct {
	*rapid.T
	l       *Ledger
	slots   int
	now     time.Time
	next    int // number of the next pod
	eni     []netip.Prefix
	past    []snapshot // what describes may still show
	meddle  bool       // another client has changed the ENI: whether its limit is kept is not up to the ledger
	live    map[types.UID]netip.Addr
	kinds   map[types.UID]Kind // of the blocks that the pods were given their addresses out of
	ended   map[netip.Addr]time.Time
	foreign map[netip.Prefix]time.Time // blocks of another client, since when
	shown   map[netip.Prefix]time.Time // when blocks were on the ENI that EC2 has shown, the last time of which is known
	call    *Call                      // begun, not answered
}

type snapshot struct {
	at  time.Time
	eni []netip.Prefix
}

func newWorld(t *rapid.T) *world {
	slots := rapid.IntRange(1, 14).Draw(t, "slots")
	return &world{
		T: t, slots: slots, l: New(slots, Kind(rapid.IntRange(0, 1).Draw(t, "mode"))),
		now: time.Unix(1_000_000, 0), live: map[types.UID]netip.Addr{}, kinds: map[types.UID]Kind{}, ended: map[netip.Addr]time.Time{},
		foreign: map[netip.Prefix]time.Time{}, shown: map[netip.Prefix]time.Time{},
	}
}

func (w *world) pod() types.UID {
	w.next++
	return types.UID(fmt.Sprint("pod-", w.next))
}

func (w *world) anyPod() types.UID {
	pods := make([]types.UID, 0, len(w.live))
	for p := range w.live {
		pods = append(pods, p)
	}
	if len(pods) == 0 {
		w.Skip("no pod")
	}
	slices.Sort(pods)
	return rapid.SampledFrom(pods).Draw(w.T, "pod")
}

// given checks I1 and I2 on an address that the ledger gave away.
func (w *world) given(g Grant) {
	for pod, a := range w.live {
		if a == g.Address && pod != g.Pod {
			w.Fatalf("I1: %s was given to %s while %s holds it", a, g.Pod, pod)
		}
	}
	if end, used := w.ended[g.Address]; used && w.now.Before(end.Add(Cooldown)) {
		w.Fatalf("I2: %s was given %s after its pod ended", g.Address, w.now.Sub(end))
	}
	for b, since := range w.foreign {
		if b.Contains(g.Address) && w.now.Before(since.Add(Cooldown)) {
			w.Fatalf("I2: %s was given %s after another client brought it", g.Address, w.now.Sub(since))
		}
	}
	if end, used := w.ended[g.Address]; used && !w.shownSince(g.Address, end) {
		w.Fatalf("I10: %s was given though EC2 has not shown it since its pod ended", g.Address)
	}
	if !w.onENI(g.Address) && !w.meddle {
		w.Fatalf("%s was given but is not on the ENI %v", g.Address, w.eni)
	}
	w.live[g.Pod], w.kinds[g.Pod] = g.Address, g.Kind
}

func (w *world) shownSince(a netip.Addr, end time.Time) bool {
	for b, at := range w.shown {
		if b.Contains(a) && !at.Before(end) {
			return true
		}
	}
	return false
}

func (w *world) onENI(a netip.Addr) bool {
	return slices.ContainsFunc(w.eni, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (w *world) serve() {
	w.l.Advance(w.now)
	for _, g := range w.l.Serve() {
		w.given(g)
	}
}

func (w *world) change(eni []netip.Prefix) {
	w.past = append(w.past, snapshot{w.now, slices.Clone(w.eni)})
	w.eni = eni
}

// fresh finds a block that is on no ENI. It takes the lowest, so that what was given
// back, and parts of it, are soon given out again.
func (w *world) fresh(k Kind, eni []netip.Prefix) netip.Prefix {
	for i := 0; ; i += k.Addresses() {
		b := BlockOf(netip.AddrFrom4([4]byte{10, 0, byte(i / 256), byte(i % 256)}), k)
		recent := slices.ContainsFunc(w.past, func(s snapshot) bool {
			return slices.Contains(s.eni, b) && w.now.Sub(s.at) <= Settle
		})
		if !slices.ContainsFunc(eni, b.Overlaps) && !recent {
			return b
		}
	}
}

// execute is EC2 doing the call that was begun.
func (w *world) execute() []netip.Prefix {
	eni := slices.Clone(w.eni)
	var got []netip.Prefix
	if w.call.Assign() {
		for range w.call.Count {
			b := w.fresh(w.call.Kind, eni)
			eni, got = append(eni, b), append(got, b)
			w.shown[b] = w.now
		}
		if len(eni) > w.slots && !w.meddle {
			w.Fatalf("I3: %d blocks on an ENI of %d slots", len(eni), w.slots)
		}
	} else {
		for _, b := range w.call.Blocks {
			if !slices.Contains(eni, b) && !w.meddle {
				w.Fatalf("I3: an unassign of %s, which is not on the ENI, must fail", b)
			}
			for pod, a := range w.live {
				if b.Contains(a) {
					w.Fatalf("I5: %s is unassigned while %s holds %s", b, pod, a)
				}
			}
		}
		eni = slices.DeleteFunc(eni, func(b netip.Prefix) bool { return slices.Contains(w.call.Blocks, b) })
	}
	w.change(eni)
	return got
}

func (w *world) mustHaveCall() {
	if w.call == nil {
		w.Skip("no call in flight")
	}
}

func (w *world) describe(stale bool) {
	seen, at := w.eni, w.now
	if stale {
		for _, s := range slices.Backward(w.past) {
			if w.now.Sub(s.at) > Settle {
				break
			}
			seen, at = s.eni, s.at
		}
	}
	for _, b := range seen {
		if at.After(w.shown[b]) {
			w.shown[b] = at
		}
	}
	w.l.Sync(seen, w.now, w.now)
	w.serve()
}

// restart throws the ledger away and begins with what EC2 and the API server
// show. The promise of the process before is what it would have left behind:
// nothing was given or unassigned since.
func (w *world) restart(promise bool) {
	var free []netip.Prefix
	if promise && w.call == nil && !w.l.InDoubt() && !w.meddle {
		free = w.l.Free()
	}
	if w.call != nil {
		w.execute()
		w.call = nil
	}
	if w.meddle {
		// A block that another client took away while it cooled, and that EC2 gives
		// again after a restart: nobody is left who could know.
		clear(w.ended)
	}
	w.past = nil // the allocator looks again before anything adopted has cooled
	next := New(0, w.l.mode)
	for pod, a := range w.live {
		if a.IsValid() {
			next.Hold(pod, a, w.kinds[pod], w.now)
		}
	}
	next.SetSlots(w.slots)
	for _, b := range w.eni {
		w.shown[b] = w.now
	}
	next.Sync(w.eni, w.now, w.now)
	next.Trust(free, w.now)
	w.l = next
}

// check holds at every moment.
func (w *world) check() {
	c := w.l.Counts()
	inFlight := 0
	if w.l.pending != nil {
		inFlight = w.l.pending.Count
	}
	if blocks := c.SecondaryIPs + c.Prefixes + inFlight; !w.meddle && blocks+c.Open > w.slots {
		w.Fatalf("I3: %d blocks and %d open slots of %d", blocks, c.Open, w.slots)
	}
	seen := map[netip.Addr]types.UID{}
	for pod, a := range w.l.holders {
		if seen[a] != "" {
			w.Fatalf("I1: %s is held by %s and %s", a, pod, seen[a])
		}
		seen[a] = pod
		if w.live[pod] != a {
			w.Fatalf("the ledger says that %s holds %s, the world %s", pod, a, w.live[pod])
		}
	}
	if len(w.l.holders) != len(w.live) {
		w.Fatalf("the ledger knows %d holders, the world %d", len(w.l.holders), len(w.live))
	}
	for _, b := range w.l.blocks {
		held, cooling := 0, 0
		for _, x := range b.addresses {
			if x.holder != "" {
				held++
			} else if x.cooling {
				cooling++
			}
		}
		if held != b.held || cooling != b.cooling {
			w.Fatalf("%s counts %d held, %d cooling; it has %d and %d", b.prefix, b.held, b.cooling, held, cooling)
		}
	}
}

// settle lets every doubt run out and looks once more: nothing is lost.
func (w *world) settle() {
	if w.call != nil {
		w.execute()
		w.l.Lost(w.now)
	}
	w.now = w.now.Add(Settle + time.Second)
	w.describe(false)
	w.now = w.now.Add(Settle + time.Second)
	w.describe(false)
	var book []netip.Prefix
	for _, b := range w.l.blocks {
		book = append(book, b.prefix)
	}
	slices.SortFunc(w.eni, netip.Prefix.Compare)
	if diff := cmp.Diff(w.eni, book, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); len(w.eni)+len(book) > 0 && diff != "" {
		w.Fatalf("I6: EC2 and the ledger differ (-EC2 +ledger):\n%s", diff)
	}
	if c := w.l.Counts(); c.Open != max(0, w.slots-len(w.eni)) {
		w.Fatalf("I6: %d slots open, the ENI has %d of %d in use", c.Open, len(w.eni), w.slots)
	}
}
