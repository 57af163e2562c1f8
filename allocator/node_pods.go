package allocator

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/ledger"
)

// observe takes up a live pod that is bound to the node.
func (n *node) observe(uid types.UID, seen pod) {
	n.a.nominations.remove(uid)
	n.update(func(l *ledger.Ledger, now time.Time) {
		n.finish(uid)
		n.keep(uid, seen)
		if seen.onHost {
			return
		}
		if seen.address.IsValid() {
			n.hold(uid, seen, now)
			return
		}
		if n.a.observing() && !seen.wants {
			return // the other allocator does not give it one
		}
		l.Wait(uid)
		if a, _ := l.Holder(uid); a.IsValid() {
			// Given in a bind that another scheduler was quicker than.
			n.deliver(ledger.Grant{Pod: uid, Address: a, Kind: l.KindAt(a)})
		}
	})
}

// keep enters a pod into the node's book; whoever calls it holds the lock.
func (n *node) keep(uid types.UID, p pod) {
	before := n.pods[uid]
	p.told, p.hangs, p.since = before.told, before.hangs, before.since
	switch {
	case p.address.IsValid() || p.onHost:
		p.since = time.Time{}
	case p.since.IsZero():
		p.since = time.Now()
	}
	n.unkeep(uid)
	n.pods[uid] = p
	n.asked[p.on] += p.asks
	n.counted[p.on]++
	if p.onHost {
		n.onHost[p.on]++
	}
}

// ended takes up that a pod of the node has ended, though something of it may run for
// that much longer.
func (n *node) ended(uid types.UID, longer time.Duration) {
	n.update(func(l *ledger.Ledger, now time.Time) {
		n.finish(uid)
		p, had := n.pods[uid]
		n.unkeep(uid)
		a, _ := l.Holder(uid)
		l.EndSlowly(uid, now, longer)
		n.outlive(p, had && a.IsValid(), now.Add(longer+ledger.Cooldown))
	})
}

func (n *node) unkeep(uid types.UID) {
	p, had := n.pods[uid]
	if !had {
		return
	}
	delete(n.pods, uid)
	n.asked[p.on] -= p.asks
	n.counted[p.on]--
	if p.onHost {
		n.onHost[p.on]--
	}
	if n.counted[p.on] == 0 {
		delete(n.asked, p.on)
		delete(n.counted, p.on)
		delete(n.onHost, p.on)
	}
}
