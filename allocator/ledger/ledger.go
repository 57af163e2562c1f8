package ledger

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Ledger is the book of one ENI. The zero value is of no use: see New.
type Ledger struct {
	slots   int // slots beyond the primary address
	mode    Kind
	blocks  []*block // sorted by address; never more than the ENI has
	holders map[types.UID]netip.Addr
	waiting []types.UID // pods without an address, longest waiting first

	adrift   map[types.UID]netip.Prefix // pods whose address is not on the ENI, and the block that it is out of
	resting  map[netip.Addr]rest        // addresses that cool but lie in no block of the ENI now
	nextFree time.Time                  // when Advance has something to do; zero: nothing cools that EC2 has confirmed
	pending  *pending                   // the EC2 call in flight, or the one whose answer was lost
	left     []farewell
}

// rest is the cooldown of an address.
type rest struct{ ended, free time.Time }

// farewell remembers a block that EC2 has confirmed to be gone, as long as a
// describe may still show it.
type farewell struct {
	prefix netip.Prefix
	at     time.Time
}

// Grant is an address that was given to a pod.
type Grant struct {
	Pod     types.UID
	Address netip.Addr
	Kind    Kind
}

// New makes the ledger of an ENI with the given number of usable slots:
// Ipv4AddressesPerInterface without the primary address.
func New(slots int, mode Kind) *Ledger {
	return &Ledger{slots: slots, mode: mode,
		holders: map[types.UID]netip.Addr{}, adrift: map[types.UID]netip.Prefix{}, resting: map[netip.Addr]rest{}}
}

// SetMode says what new pods get from now on. What pods hold stays.
func (l *Ledger) SetMode(mode Kind) { l.mode = mode }

// Holder says which address a pod has here; known is true, and the address
// invalid, while the pod waits for one.
func (l *Ledger) Holder(pod types.UID) (a netip.Addr, known bool) {
	a, held := l.holders[pod]
	return a, held || slices.Contains(l.waiting, pod)
}

// Take gives a free address of the mode's kind to a pod: from the prefix with
// the fewest free addresses, so that others empty out, and in it the address
// that has been free longest. It answers false where none is free, or where
// other pods wait already. A pod that has an address gets the same again.
func (l *Ledger) Take(pod types.UID) (Grant, bool) {
	if a, held := l.holders[pod]; held {
		return Grant{Pod: pod, Address: a, Kind: l.KindAt(a)}, true
	}
	if len(l.waiting) > 0 {
		return Grant{}, false
	}
	return l.give(pod)
}

// Wait notes a pod that needs an address. Serve answers it.
func (l *Ledger) Wait(pod types.UID) {
	if _, known := l.Holder(pod); !known {
		l.waiting = append(l.waiting, pod)
	}
}

// Serve gives what is free to the pods that wait, longest waiting first.
func (l *Ledger) Serve() []Grant {
	var grants []Grant
	for len(l.waiting) > 0 {
		g, ok := l.give(l.waiting[0])
		if !ok {
			break
		}
		l.waiting = l.waiting[1:]
		grants = append(grants, g)
	}
	return grants
}

// give takes the best free address for a pod.
func (l *Ledger) give(pod types.UID) (Grant, bool) {
	var best *block
	at := -1
	for _, b := range l.blocks {
		if b.kind() != l.mode || b.leaving || b.free() == 0 {
			continue
		}
		i := b.longestFree()
		if best == nil || b.free() < best.free() ||
			b.free() == best.free() && b.addresses[i].free.Before(best.addresses[at].free) {
			best, at = b, i
		}
	}
	if best == nil {
		return Grant{}, false
	}
	best.addresses[at].holder = pod
	best.held++
	l.holders[pod] = best.at(at)
	return Grant{Pod: pod, Address: best.at(at), Kind: best.kind()}, true
}

// Hold notes that a live pod has this address, as the API server says. The
// address, out of a block of the given kind, need not be on the ENI: another hand
// may have taken it away, and the pod still believes in it (see Adrift). Where
// another live pod of this node has the same address, that pod is returned, and the
// address stays in use until both ended.
func (l *Ledger) Hold(pod types.UID, a netip.Addr, k Kind, now time.Time) (other types.UID) {
	if had, held := l.holders[pod]; held {
		if had == a {
			return l.otherHolder(pod, a)
		}
		l.End(pod, now)
	}
	l.dropWaiting(pod)
	l.holders[pod] = a
	if b := l.blockOf(a); b != nil {
		l.occupy(b, a, pod)
	} else {
		l.adrift[pod] = BlockOf(a, k)
	}
	return l.otherHolder(pod, a)
}

// Adrift lists the blocks that live pods have their address out of, and that are
// not on the ENI, in order.
func (l *Ledger) Adrift() []netip.Prefix {
	blocks := slices.Collect(maps.Values(l.adrift))
	slices.SortFunc(blocks, netip.Prefix.Compare)
	return slices.Compact(blocks)
}

// occupy marks an address of a block as held, whatever it was before.
func (l *Ledger) occupy(b *block, a netip.Addr, pod types.UID) {
	x := b.address(a)
	if x.holder != "" {
		return
	}
	if x.cooling {
		x.cooling = false
		b.cooling--
	}
	x.holder = pod
	b.held++
}

// Cancel takes back what Take or Wait gave to a pod that was never bound with
// it. Its address was never used, so it needs no cooldown.
func (l *Ledger) Cancel(pod types.UID, now time.Time) { l.release(pod, now, rest{free: now}) }

// End notes that a pod has ended. Its address cools from now on.
func (l *Ledger) End(pod types.UID, now time.Time) { l.EndSlowly(pod, now, 0) }

// EndSlowly is End for a pod that something of may still run, for that long at the
// most: its address cools for that much longer.
func (l *Ledger) EndSlowly(pod types.UID, now time.Time, longer time.Duration) {
	l.release(pod, now, rest{ended: now.Add(longer), free: now.Add(longer + Cooldown)})
}

func (l *Ledger) release(pod types.UID, now time.Time, r rest) {
	l.dropWaiting(pod)
	a, held := l.holders[pod]
	if !held {
		return
	}
	delete(l.holders, pod)
	delete(l.adrift, pod)
	b := l.blockOf(a)
	if b == nil {
		l.resting[a] = r
		l.dueAt(r.free)
		return
	}
	x := b.address(a)
	if x.holder != pod {
		return
	}
	if heir := l.otherHolder(pod, a); heir != "" {
		x.holder = heir
		return
	}
	x.holder = ""
	b.held--
	if b.suspect.After(r.free) {
		r.free = b.suspect
	}
	if !r.ended.IsZero() {
		x.ended = r.ended
	}
	l.rest(b, x, now, r.free)
}

// Quarantine rests an address that was about to be given, because somebody
// else is seen to use it. Nothing happens where it is held here.
func (l *Ledger) Quarantine(a netip.Addr, now time.Time) {
	if b := l.blockOf(a); b != nil && b.address(a).holder == "" {
		b.address(a).ended = now
		l.rest(b, b.address(a), now, now.Add(Cooldown))
	}
}

// rest makes an unheld address free from the given time on.
func (l *Ledger) rest(b *block, x *address, now, free time.Time) {
	x.free = free
	if !free.After(now) {
		return
	}
	if !x.cooling {
		x.cooling = true
		b.cooling++
	}
	l.dueAt(free)
}

// dueAt has Advance do something at a time.
func (l *Ledger) dueAt(t time.Time) {
	if l.nextFree.IsZero() || t.Before(l.nextFree) {
		l.nextFree = t
	}
}

// Advance frees what has cooled down, and was seen on the ENI since.
func (l *Ledger) Advance(now time.Time) {
	if l.nextFree.IsZero() || now.Before(l.nextFree) {
		return
	}
	l.nextFree = time.Time{}
	maps.DeleteFunc(l.resting, func(_ netip.Addr, r rest) bool { return !r.free.After(now) })
	for _, r := range l.resting {
		l.dueAt(r.free)
	}
	for _, b := range l.blocks {
		for i := range b.addresses {
			x := &b.addresses[i]
			switch {
			case !x.cooling:
			case x.free.After(now):
				l.rest(b, x, now, x.free)
			case b.confirms(x): // else the look that does makes it due
				x.cooling = false
				b.cooling--
			}
		}
	}
}

// NextFree is when Advance has something to do; zero when it has nothing, until a
// pod ends or EC2 is looked at.
func (l *Ledger) NextFree() time.Time { return l.nextFree }

func (l *Ledger) dropWaiting(pod types.UID) {
	if i := slices.Index(l.waiting, pod); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
}

func (l *Ledger) otherHolder(pod types.UID, a netip.Addr) types.UID {
	for other, held := range l.holders {
		if held == a && other != pod {
			return other
		}
	}
	return ""
}

// blockOf finds the block on the ENI that an address lies in.
func (l *Ledger) blockOf(a netip.Addr) *block {
	for _, b := range l.blocks {
		if b.prefix.Contains(a) {
			return b
		}
	}
	return nil
}

// KindAt is the kind of the block that an address lies in; an address whose
// block is gone counts as a secondary IP.
func (l *Ledger) KindAt(a netip.Addr) Kind {
	if b := l.blockOf(a); b != nil {
		return b.kind()
	}
	return SecondaryIP
}

// SetSlots sets the number of usable slots, once EC2 has said it.
func (l *Ledger) SetSlots(slots int) { l.slots = slots }

// Lacks says that a pod's address is not on the ENI.
func (l *Ledger) Lacks(pod types.UID) bool {
	_, lacks := l.adrift[pod]
	return lacks
}
