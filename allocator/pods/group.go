package pods

import (
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/ledger"
)

// Group is the index as one home uses it, with its own lock held.
type Group struct {
	index *Index
	home  Home
}

// Place notes a pod that is bound at the home; the attempt to bind it there is over. It
// says at whose home it was before, if at any, and which other live pod has the address
// that is new to this one.
func (g Group) Place(p Pod, now time.Time) (was Home, sharing types.UID) {
	x := g.index
	x.mu.Lock()
	defer x.mu.Unlock()
	was, sharing = x.placeLocked(p, g.home, now)
	x.endAttemptLocked(p.UID, g.home)
	return was, sharing
}

// Remove forgets a pod that has ended. It answers false, and a Pod without anything but
// what the home knows of it, where the pod was not bound at the home.
func (g Group) Remove(pod types.UID, now time.Time) (p Pod, bound bool) {
	x := g.index
	x.mu.Lock()
	defer x.mu.Unlock()
	x.endAttemptLocked(pod, g.home)
	e := x.pods[pod]
	if e == nil || e.home != g.home {
		return Pod{}, false
	}
	p = e.pod
	x.removeLocked(e, now)
	return p, true
}

// Has says that a pod is bound at the home.
func (g Group) Has(pod types.UID) bool {
	_, has := g.Get(pod)
	return has
}

// Get finds a pod that is bound at the home.
func (g Group) Get(pod types.UID) (p Pod, bound bool) {
	g.index.mu.Lock()
	defer g.index.mu.Unlock()
	if e := g.index.pods[pod]; e != nil && e.home == g.home {
		return e.pod, true
	}
	return Pod{}, false
}

// On lists the pods that are bound to a Node of the home.
func (g Group) On(node string) (pods []types.UID) {
	g.index.mu.Lock()
	defer g.index.mu.Unlock()
	if x := g.index.groups[g.home]; x != nil {
		for uid, e := range x.pods {
			if e.pod.Node == node {
				pods = append(pods, uid)
			}
		}
	}
	return pods
}

// Load is what the pods on a Node of the home count for, and how many pods are being
// bound at the home.
func (g Group) Load(node string) (load Load, binding int) {
	g.index.mu.Lock()
	defer g.index.mu.Unlock()
	x := g.index.groups[g.home]
	if x == nil {
		return Load{}, 0
	}
	if l := x.loads[node]; l != nil {
		load = *l
	}
	return load, len(x.attempts)
}

// HeldElsewhere says that a live pod other than the given one has an address or is being
// bound with it, or that one at another home had it within the cooldown. When another
// client takes a prefix from under its pods, EC2 may give it to another network interface.
func (g Group) HeldElsewhere(address netip.Addr, pod types.UID, now time.Time) bool {
	x := g.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.heldByAnotherLocked(address, pod) {
		return true
	}
	if x.holders[address] == pod {
		return false
	}
	r, ended := x.ended[address]
	return ended && r.home != g.home && now.Sub(r.at) < ledger.Cooldown
}

// Lodge lists the live pods anywhere that have an address out of a block, and notes that
// the home's ledger holds it for them until they end.
func (g Group) Lodge(block netip.Prefix) (pods []ledger.Grant) {
	x := g.index
	x.mu.Lock()
	defer x.mu.Unlock()
	for a := block.Addr(); block.Contains(a); a = a.Next() {
		uid, taken := x.holders[a]
		if !taken {
			continue
		}
		if e := x.pods[uid]; e.home != g.home && !slices.Contains(e.guests, g.home) {
			e.guests = append(e.guests, g.home)
		}
		pods = append(pods, ledger.Grant{Pod: uid, Address: a, Kind: ledger.KindOf(block)})
	}
	return pods
}

// Pods lists the pods that are bound at the home.
func (g Group) Pods() []Pod {
	return g.list(func(*entry) bool { return true })
}

// WithoutAddress lists the pods that are bound at the home and have had no address
// since the given time or before.
func (g Group) WithoutAddress(since time.Time) []Pod {
	return g.list(func(e *entry) bool {
		return !e.notes.withoutAddress.IsZero() && !e.notes.withoutAddress.After(since)
	})
}

func (g Group) list(is func(*entry) bool) (pods []Pod) {
	g.index.mu.Lock()
	defer g.index.mu.Unlock()
	x := g.index.groups[g.home]
	if x == nil {
		return nil
	}
	for _, e := range x.pods {
		if is(e) {
			pods = append(pods, e.pod)
		}
	}
	return pods
}

// Tell notes that people are told something of a pod at the home. It answers false where
// they were told already.
func (g Group) Tell(pod types.UID, what News) bool {
	g.index.mu.Lock()
	defer g.index.mu.Unlock()
	e := g.index.pods[pod]
	if e == nil || e.home != g.home || e.notes.told[what] {
		return false
	}
	e.notes.told[what] = true
	return true
}
