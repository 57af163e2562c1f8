package node

import (
	"slices"
	"time"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/pods"
)

// aftermath is what kubelets may count of pods that have ended beyond the addresses that
// cool, until those have cooled.
type aftermath []afterEnd

type afterEnd struct {
	pods  int // less than none where kubelets do not count an address that cools
	until time.Time
}

func (a aftermath) due(now time.Time) bool { return len(a) > 0 && !now.Before(a[0].until) }

// sum is what kubelets may count.
func (a aftermath) sum(now time.Time) (sum int) {
	for _, x := range a {
		if now.Before(x.until) {
			sum += x.pods
		}
	}
	return sum
}

// rest is what has yet to pass.
func (a aftermath) rest(now time.Time) aftermath {
	return slices.DeleteFunc(a, func(x afterEnd) bool { return !now.Before(x.until) })
}

// totals is what kubelets count on the Nodes of an instance.
type totals struct {
	id        *Identity
	pods      pods.Group
	aftermath aftermath
	told      int // how many pods people have been told that the kubelet had to take
}

// outlive notes what a kubelet may count of a pod that has ended.
func (t *totals) outlive(p pods.Pod, cools bool, until time.Time) {
	x := afterEnd{until: until}
	if p.Node == t.id.Name() {
		x.pods = p.Asks
	}
	if cools {
		x.pods--
	}
	if x.pods != 0 {
		t.aftermath = append(t.aftermath, x)
	}
}

// ended is how much of the resource kubelets may count for pods that have ended.
func (t *totals) ended(c ledger.Counts, now time.Time) int {
	return max(0, t.aftermath.sum(now)+c.Cooling+c.Away)
}

// running is how much of the resource kubelets count for pods that live or are being
// bound. Pods that hold an address without asking for the resource are no load to the
// scheduler, so they do not count.
func (t *totals) running() int {
	load, binding := t.pods.Load(t.id.Name())
	return load.Asked + binding
}

// counted is how much a kubelet may count in all.
func (t *totals) counted(c ledger.Counts, now time.Time) int { return t.running() + t.ended(c, now) }

// podRoom is how many more pods the kubelet takes. It runs so many at the most, 110
// unless it is told otherwise (--max-pods), pods on the host's network among them.
// Fourteen prefixes are 224 addresses: what it will not run, no address helps.
func (t *totals) podRoom() int {
	names := t.id.Names()
	if names.MaxPods == 0 {
		return capacity.NoMaxPods
	}
	load, binding := t.pods.Load(names.Offers)
	return max(0, names.MaxPods-load.Pods-binding)
}

// usableBlocks limits a number of blocks wanted to those whose addresses the kubelet has
// room for.
func (t *totals) usableBlocks(want int, c ledger.Counts) int {
	return min(want, c.Mode.BlocksFor(c.InUseOfMode+c.Waiting+t.podRoom()))
}

// maxPods tells, once for each figure, of a kubelet that takes fewer pods than its
// node's slots have addresses for.
func (t *totals) maxPods(c ledger.Counts) (n notice, news bool) {
	names := t.id.Names()
	load, _ := t.pods.Load(names.Offers)
	addresses := c.Slots * c.Mode.Addresses()
	want := addresses + load.OnHost
	if names.MaxPods == 0 || names.MaxPods >= want || t.told == want {
		return notice{}, false
	}
	t.told = want
	return maxPodsLimited(names, load.OnHost, addresses, want), true
}
