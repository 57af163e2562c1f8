package allocator

import (
	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/metrics"
)

// totals are what the metrics show.
type totals struct{ fleet *Allocator }

// Totals sum all ledgers up as they stand.
func (x *totals) Totals() metrics.Totals {
	a := x.fleet
	t := metrics.Totals{Leading: a.Serving(), Enabled: a.gate.On()}
	for _, n := range a.nodes.all() {
		c, available := n.Capacity()
		switch {
		case !c.Ready:
			t.NotReady++
			continue
		case c.Limit < capacity.Unlimited:
			t.Stalled++
		default:
			t.Ready++
		}
		t.Slots += c.Slots
		t.SecondaryIPs += c.SecondaryIPs
		t.Prefixes += c.Prefixes
		t.InUse += c.InUse
		t.Free += c.Free
		t.Cooling += c.Cooling
		t.Waiting += c.Waiting
		t.Remaining += c.Remaining(available)
		t.Usable += c.Usable(available)
		t.Advertised += c.Total(available)
	}
	for _, b := range a.subnets.All() {
		for _, k := range []ledger.Kind{ledger.SecondaryIP, ledger.Prefix} {
			t.Rooms = append(t.Rooms, metrics.Room{Subnet: b.ID, Kind: k.String(), Blocks: b.Available(k)})
		}
	}
	return t
}
