package node

import (
	"time"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
)

// Status sums the node up for people and for the next leader. Its free addresses are
// listed where none was given for as long as still; else wait is how long that takes
// yet. It answers false where the node is not ready.
func (n *Node) Status(still time.Duration) (x v1alpha1.NodeSlotsStatus, wait time.Duration, isReady bool) {
	core := n.core
	core.mu.Lock()
	defer core.mu.Unlock()
	if core.phase != ready {
		return x, 0, false
	}
	now := time.Now()
	c := core.ledger.Counts()
	shown := core.summary.Load()
	available := core.budget.Available(shown.Mode)
	x = v1alpha1.NodeSlotsStatus{
		Mode:             c.Mode.String(),
		NetworkInterface: core.eni,
		Subnet:           core.budget.ID,
		Slots:            int32(c.Slots),
		SecondaryIPs:     int32(c.SecondaryIPs),
		Prefixes:         int32(c.Prefixes),
		InUse:            int32(c.InUse),
		Free:             int32(c.Free),
		Cooling:          int32(c.Cooling),
		Waiting:          int32(c.Waiting),
		Remaining:        int32(max(0, shown.Remaining(available))),
		Usable:           int32(shown.Usable(available)),
	}
	gives := core.shared.Gate.On() && core.policy.Gives()
	x.Conditions = conditions(x, gives, shown.Open > shown.Claimed && available == 0)
	if !gives {
		return x, 0, true // others may give what is free
	}
	_, binding := core.pods.Load(n.Name())
	if wait = core.lastGrant.Add(still).Sub(now); wait > 0 || binding > 0 {
		return x, wait, true
	}
	for _, p := range core.ledger.Free() {
		x.KnownFree = append(x.KnownFree, p.String())
	}
	return x, 0, true
}
