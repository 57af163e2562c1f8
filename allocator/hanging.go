package allocator

import "time"

// tellAfter is how long a pod that was bound past the extender may wait for an
// address before people are told.
const tellAfter = time.Minute

// tellHanging tells, once, of the pods that were bound to the node and have no address
// for long: a scheduler without the extender has bound them, or they were made while
// Slotwise was off.
func (n *node) tellHanging(now time.Time) {
	for _, p := range n.hanging(now) {
		n.a.events.hangs(p.key, p.uid, p.on)
	}
}

// hanging lists the pods that are to be told of.
func (n *node) hanging(now time.Time) (pods []pod) {
	if n.summary.Load().Waiting == 0 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for uid, p := range n.pods {
		if !n.ready || p.hangs || p.since.IsZero() || now.Before(p.since.Add(tellAfter)) || !n.awaits(uid) {
			continue
		}
		p.hangs = true
		n.pods[uid] = p
		pods = append(pods, p)
	}
	return pods
}
