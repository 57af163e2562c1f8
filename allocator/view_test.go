package allocator

import (
	"testing"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/extender"
)

func TestRoom(t *testing.T) {
	const plenty, none = 4000, 0 // free blocks of the subnet
	for name, c := range map[string]struct {
		summary summary
		subnet  int64
		want    extender.Room
	}{
		"not read yet": {summary{}, plenty, extender.Room{Refusal: extender.NotReady}},
		"free now, and more to be had": {
			summary{ready: true, limit: unlimited, Counts: ledger.Counts{Mode: ledger.Prefix, Open: 2, Free: 5, InUse: 11}}, plenty,
			extender.Room{Free: 5, Obtainable: 32, InUse: 11},
		},
		"pods that wait have taken what is free, and count as its users": {
			summary{ready: true, limit: unlimited, Counts: ledger.Counts{Mode: ledger.Prefix, Open: 2, Free: 5, InUse: 11, Waiting: 8}}, plenty,
			extender.Room{Obtainable: 29, InUse: 19},
		},
		"on its way": {
			summary{ready: true, limit: unlimited, Counts: ledger.Counts{Mode: ledger.Prefix, Arriving: 1, InUse: 16, Waiting: 4}}, none,
			extender.Room{Obtainable: 12, InUse: 20},
		},
		"full": {
			summary{ready: true, limit: unlimited, Counts: ledger.Counts{Mode: ledger.SecondaryIP, InUse: 14}}, plenty,
			extender.Room{Refusal: extender.Full, InUse: 14},
		},
		"empty slots, but nothing for them in the subnet": {
			summary{ready: true, limit: unlimited, Counts: ledger.Counts{Mode: ledger.Prefix, Open: 3, InUse: 16}}, none,
			extender.Room{Refusal: extender.NoRoomInSubnet, InUse: 16},
		},
		"nothing in the subnet but what is set aside for the node": {
			summary{ready: true, limit: unlimited, own: 1, Counts: ledger.Counts{Mode: ledger.Prefix, Open: 3, InUse: 16}}, none,
			extender.Room{Obtainable: 16, InUse: 16},
		},
		"EC2 does not do what it is asked: only what is free counts": {
			summary{ready: true, Counts: ledger.Counts{Mode: ledger.Prefix, Open: 2, Free: 5, InUse: 11}}, plenty,
			extender.Room{Free: 5, InUse: 11},
		},
		"EC2 does not, and nothing is free": {
			summary{ready: true, Counts: ledger.Counts{Mode: ledger.Prefix, Open: 2, InUse: 16}}, plenty,
			extender.Room{Refusal: extender.Refused, InUse: 16},
		},
		"EC2 is tried with one block": {
			summary{ready: true, limit: 1, Counts: ledger.Counts{Mode: ledger.Prefix, Open: 2, InUse: 16}}, plenty,
			extender.Room{Obtainable: 16, InUse: 16},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := &node{budget: &budget{}}
			n.summary.Store(&c.summary)
			for k := range n.budget.room {
				n.budget.room[k].Store(c.subnet)
			}
			if got, _ := n.room(); got != c.want {
				t.Errorf("room = %+v, want %+v", got, c.want)
			}
		})
	}
}
