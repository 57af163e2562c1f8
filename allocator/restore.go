package allocator

import (
	"net/netip"
	"slices"
	"time"
)

// restore is a block that live pods have their address out of and that another client
// has taken from the ENI. It is asked for by name; where it is taken again and again,
// ever more slowly, so that two clients that fight make no storm.
type restore struct {
	pause time.Duration
	until time.Time // nothing is asked before
}

// quietAfter is how long a block must have been left alone to be restored at once
// the next time.
const quietAfter = 10 * time.Minute

// asked is a block that was asked for once more, with whatever result.
func (r restore) asked(now time.Time) restore {
	r.pause = restorePause.after(r.pause)
	r.until = now.Add(r.pause)
	return r
}

// restorable lists the blocks that may be asked for by name now: the subnet has them.
// Caller holds n.mu.
func (n *node) restorable(now time.Time) (blocks []netip.Prefix) {
	for b, r := range n.restores {
		if now.After(r.until.Add(quietAfter)) {
			delete(n.restores, b)
		}
	}
	for _, b := range n.ledger.Adrift() {
		if !now.Before(n.restores[b].until) && n.budget.unused(b) {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// unrestorable are those of the blocks that are lost to live pods and cannot be asked
// for, because the subnet no longer has them or the ENI has no slot.
func (n *node) unrestorable(blocks []netip.Prefix) []netip.Prefix {
	n.mu.Lock()
	defer n.mu.Unlock()
	adrift, open := n.ledger.Adrift(), n.ledger.Counts().Open
	return slices.DeleteFunc(slices.Clone(blocks), func(b netip.Prefix) bool {
		return !slices.Contains(adrift, b) || open > 0 && n.budget.unused(b)
	})
}

// tellLost tells of pods that have lost their address for good, as it seems.
func (n *node) tellLost(blocks []netip.Prefix) {
	for _, p := range n.lost(blocks) {
		n.a.metrics.lost.Inc()
		n.a.events.lost(p.key, p.uid, p.address)
		n.a.log.Info("a live pod has lost its address", "pod", p.key, "node", p.on, "address", p.address.String())
	}
}

// lost lists the pods with an address out of blocks that are not on the ENI, each once.
func (n *node) lost(blocks []netip.Prefix) (pods []pod) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for uid, p := range n.pods {
		within := slices.ContainsFunc(blocks, func(b netip.Prefix) bool { return b.Contains(p.address) })
		if within && !p.told && n.ledger.Lacks(uid) {
			p.told = true
			n.pods[uid] = p
			pods = append(pods, p)
		}
	}
	return pods
}
