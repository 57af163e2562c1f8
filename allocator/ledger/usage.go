package ledger

import (
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// usage is who uses which address: pods, or nobody while an address cools or is free.
type usage struct {
	eni
	pods
	cooldowns
	mode Kind // of what new pods get
}

// Grant is an address that was given to a pod.
type Grant struct {
	Pod     types.UID
	Address netip.Addr
	Kind    Kind
}

// SetMode says what new pods get from now on. What pods hold stays.
func (u *usage) SetMode(mode Kind) { u.mode = mode }

// Take gives a free address of the mode's kind to a pod: from the prefix with the fewest
// free addresses, so that others empty out, and in it the address that has been free
// longest. It answers false where none is free, or where other pods wait already. A pod
// that has an address gets the same again.
func (u *usage) Take(pod types.UID) (Grant, bool) {
	if a, held := u.holders[pod]; held {
		return Grant{Pod: pod, Address: a, Kind: u.KindAt(a)}, true
	}
	if len(u.waiting) > 0 {
		return Grant{}, false
	}
	return u.give(pod)
}

// Serve gives what is free to the pods that wait, longest waiting first.
func (u *usage) Serve() []Grant {
	var grants []Grant
	for len(u.waiting) > 0 {
		g, ok := u.give(u.waiting[0])
		if !ok {
			break
		}
		u.waiting = u.waiting[1:]
		grants = append(grants, g)
	}
	return grants
}

// give gives the best free address to a pod.
func (u *usage) give(pod types.UID) (Grant, bool) {
	b, i := u.best(u.mode)
	if b == nil {
		return Grant{}, false
	}
	b.hold(&b.addresses[i], pod)
	u.holders[pod] = b.at(i)
	return Grant{Pod: pod, Address: b.at(i), Kind: b.kind()}, true
}

// Hold notes that a live pod has this address, as the API server says. The address, out
// of a block of the given kind, need not be on the ENI: another client may have taken it
// away, and the pod still believes in it (see Adrift). Where another live pod of this
// node has the same address, that pod is returned, and the address stays in use until
// both have ended.
func (u *usage) Hold(pod types.UID, a netip.Addr, k Kind, now time.Time) (other types.UID) {
	if had, held := u.holders[pod]; held {
		if had == a {
			return u.otherHolder(pod, a)
		}
		u.End(pod, now)
	}
	u.dropWaiting(pod)
	u.holders[pod] = a
	if b := u.blockOf(a); b != nil {
		b.hold(b.address(a), pod)
	} else {
		u.adrift[pod] = BlockOf(a, k)
	}
	return u.otherHolder(pod, a)
}

// Cancel takes back what Take or Wait gave to a pod that was never bound with it. Its
// address was never used, so it needs no cooldown.
func (u *usage) Cancel(pod types.UID, now time.Time) { u.release(pod, now, cooldown{free: now}) }

// End notes that a pod has ended. Its address cools from now on.
func (u *usage) End(pod types.UID, now time.Time) { u.EndSlowly(pod, now, 0) }

// EndSlowly is End for a pod of which something may still run, for that long at the
// most: its address cools for that much longer.
func (u *usage) EndSlowly(pod types.UID, now time.Time, longer time.Duration) {
	u.release(pod, now, cooldown{ended: now.Add(longer), free: now.Add(longer + Cooldown)})
}

// release takes its address from a pod. It cools as given, unless another pod holds it.
func (u *usage) release(pod types.UID, now time.Time, c cooldown) {
	u.dropWaiting(pod)
	a, held := u.holders[pod]
	if !held {
		return
	}
	delete(u.holders, pod)
	delete(u.adrift, pod)
	b := u.blockOf(a)
	if b == nil {
		u.coolAway(a, c)
		return
	}
	x := b.address(a)
	if x.holder != pod {
		return
	}
	if heir := u.otherHolder(pod, a); heir != "" {
		x.holder = heir
		return
	}
	b.letGo(x)
	if b.suspectUntil.After(c.free) {
		c.free = b.suspectUntil
	}
	if !c.ended.IsZero() {
		x.ended = c.ended
	}
	u.cool(b, x, now, c.free)
}

// Quarantine cools an address that was about to be given, because somebody else is seen
// to use it. Nothing happens where it is held here.
func (u *usage) Quarantine(a netip.Addr, now time.Time) {
	if b := u.blockOf(a); b != nil && b.address(a).holder == "" {
		b.address(a).ended = now
		u.cool(b, b.address(a), now, now.Add(Cooldown))
	}
}

// Advance frees what has cooled down, and was seen on the ENI since.
func (u *usage) Advance(now time.Time) {
	if u.due.IsZero() || now.Before(u.due) {
		return
	}
	u.due = time.Time{}
	u.advanceAway(now)
	for _, b := range u.blocks {
		for i := range b.addresses {
			x := &b.addresses[i]
			switch {
			case !x.cooling:
			case x.free.After(now):
				u.dueAt(x.free)
			case b.confirms(x): // else it is due once a describe has shown the block
				b.endCooldown(x)
			}
		}
	}
}

// add enters a block, with the pods that are known to hold its addresses and the
// cooldowns that began while it was off the ENI.
func (u *usage) add(b *block, now time.Time) {
	if !u.insert(b) {
		return
	}
	for pod, a := range u.holders {
		if b.prefix.Contains(a) {
			delete(u.adrift, pod)
			b.hold(b.address(a), pod)
		}
	}
	for a, c := range u.away {
		if !b.prefix.Contains(a) {
			continue
		}
		delete(u.away, a)
		if x := b.address(a); x.holder == "" && c.free.After(x.free) {
			x.ended = c.ended
			u.cool(b, x, now, c.free)
		}
	}
}

// remove drops a block. What cools in it goes on cooling, off the ENI.
func (u *usage) remove(p netip.Prefix) {
	u.blocks = slices.DeleteFunc(u.blocks, func(b *block) bool {
		if b.prefix != p {
			return false
		}
		for i, x := range b.addresses {
			if x.cooling {
				u.coolAway(b.at(i), cooldown{x.ended, x.free})
			}
		}
		return true
	})
}

// adopt enters blocks that another client has put on the ENI. Who used their addresses
// last may be unknown: they cool first, until the time given.
func (u *usage) adopt(blocks []netip.Prefix, now, suspectUntil time.Time) {
	for _, p := range blocks {
		b := newBlock(p, now)
		b.suspectUntil = suspectUntil
		for i := range b.addresses {
			if suspectUntil.After(now) {
				b.addresses[i].ended = now
			}
			u.cool(b, &b.addresses[i], now, suspectUntil)
		}
		u.add(b, now)
	}
}

// strand drops blocks that are gone and lists the live pods whose address was among
// them. The pods stay holders: the API server still says so. See Adrift.
func (u *usage) strand(blocks []netip.Prefix) []types.UID {
	var pods []types.UID
	for _, p := range blocks {
		u.remove(p)
		for pod, a := range u.holders {
			if p.Contains(a) {
				u.adrift[pod] = p
				pods = append(pods, pod)
			}
		}
	}
	slices.Sort(pods)
	return pods
}
