package capacity

import (
	"testing"

	"slotwise.dev/slotwise/allocator/ledger"
)

// ready is a node of 14 slots in prefix mode, of which three have a prefix: 40 addresses
// are held, 5 are free, 3 cool, and EC2 does what it is asked.
func ready(change func(n *Node)) Node {
	n := Node{
		Counts: ledger.Counts{
			Mode: ledger.Prefix, Slots: 14, Prefixes: 3, Open: 11,
			InUse: 40, InUseOfMode: 40, Free: 5, Cooling: 3, Occupied: 3,
		},
		Ready: true, Limit: Unlimited, PodRoom: NoMaxPods, Running: 40, Ended: 3,
	}
	change(&n)
	return n
}

func TestFigures(t *testing.T) {
	for name, c := range map[string]struct {
		node      Node
		available int // blocks that the subnet has for anybody
		remaining int
		usable    int
		total     int
	}{
		"nothing is known of it": {node: Node{}, available: 100},
		"not ready, though it has counts": {
			node: ready(func(n *Node) { n.Ready = false }), available: 100, total: 43,
		},
		"the subnet has plenty": {
			node: ready(func(*Node) {}), available: 100,
			remaining: 5 + 11*16, usable: 5 + 11*16, total: 40 + 3 + 5 + 11*16,
		},
		"the subnet has two blocks": {
			node: ready(func(*Node) {}), available: 2, remaining: 5 + 2*16, usable: 5 + 2*16, total: 40 + 3 + 5 + 2*16,
		},
		"what is claimed counts beside what the subnet has": {
			node: ready(func(n *Node) { n.Claimed = 3 }), available: 2,
			remaining: 5 + 5*16, usable: 5 + 5*16, total: 40 + 3 + 5 + 5*16,
		},
		"what is claimed counts in a full subnet": {
			node: ready(func(n *Node) { n.Claimed = 1 }), remaining: 5 + 16, usable: 5 + 16, total: 40 + 3 + 5 + 16,
		},
		"EC2 is counted on for one block": {
			node: ready(func(n *Node) { n.Claimed, n.Limit = 3, 1 }), available: 100,
			remaining: 5 + 16, usable: 5 + 16, total: 40 + 3 + 5 + 16,
		},
		"EC2 fails: what is free is there all the same": {
			node: ready(func(n *Node) { n.Claimed, n.Limit = 3, 0 }), available: 100,
			remaining: 5, usable: 5, total: 40 + 3 + 5,
		},
		"the kubelet takes less than remains": {
			node: ready(func(n *Node) { n.PodRoom = 70 }), available: 100,
			remaining: 5 + 11*16, usable: 70, total: 40 + 3 + 5 + 11*16,
		},
		"the kubelet takes none": {
			node: ready(func(n *Node) { n.PodRoom = 0 }), remaining: 5, total: 40 + 3 + 5,
		},
		"pods wait for what is free": {
			node: ready(func(n *Node) { n.Waiting, n.Running = 5, 45 }), total: 45 + 3,
		},
		"pods wait for what cools": {
			node: ready(func(n *Node) { n.Waiting, n.Running = 7, 47 }), remaining: -2, total: 47 + 3 - 2,
		},
		"pods wait for more than cools: the total holds what they ask for": {
			node: ready(func(n *Node) { n.Waiting, n.Running = 12, 52 }), remaining: -7, total: 52,
		},
		"pods that ask for nothing are no part of the total": {
			node: ready(func(n *Node) { n.Running = 30 }), remaining: 5, usable: 5, total: 30 + 3 + 5,
		},
		"secondary IPs": {
			node: ready(func(n *Node) {
				n.Counts = ledger.Counts{Mode: ledger.SecondaryIP, Slots: 14, SecondaryIPs: 10, Open: 4, InUse: 9, Free: 1}
				n.Running, n.Ended = 9, 0
			}), available: 100, remaining: 5, usable: 5, total: 14,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.node.Remaining(c.available); got != c.remaining {
				t.Errorf("Remaining() = %d, want %d", got, c.remaining)
			}
			if got := c.node.Usable(c.available); got != c.usable {
				t.Errorf("Usable() = %d, want %d", got, c.usable)
			}
			if got := c.node.Total(c.available); got != c.total {
				t.Errorf("Total() = %d, want %d", got, c.total)
			}
		})
	}
}

// What EC2 is only tried for is not set against what is kept for others.
func TestCertain(t *testing.T) {
	room := Room{Free: 1, Obtainable: 16}
	for limit, want := range map[int]int{Unlimited: 17, 1: 1, 0: 1} {
		n := ready(func(n *Node) { n.Limit = limit })
		if got := n.Certain(room); got != want {
			t.Errorf("Certain() = %d while EC2 is counted on for %d blocks, want %d", got, limit, want)
		}
	}
}

func TestComes(t *testing.T) {
	for name, c := range map[string]struct {
		after                        ledger.Counts
		claimed, available, returned int
		failing                      bool // EC2
		want                         bool
	}{
		"nothing":                                 {},
		"what cools is free then":                 {after: ledger.Counts{Free: 1}, want: true},
		"but pods wait for it":                    {after: ledger.Counts{Free: 1, Waiting: 1}},
		"a slot comes free, the subnet has none":  {after: ledger.Counts{Open: 1}},
		"a slot comes free, and a block with it":  {after: ledger.Counts{Open: 1}, returned: 1, want: true},
		"a slot comes free, the subnet has one":   {after: ledger.Counts{Open: 1}, available: 1, want: true},
		"a slot comes free, one is claimed":       {after: ledger.Counts{Open: 1}, claimed: 1, want: true},
		"a slot comes free, EC2 brings nothing":   {after: ledger.Counts{Open: 1}, claimed: 1, available: 1, returned: 1, failing: true},
		"blocks without a slot":                   {claimed: 1, available: 1, returned: 1},
		"two slots for three pods that wait":      {after: ledger.Counts{Open: 2, Waiting: 3}, available: 9},
		"a prefix for fifteen pods that wait":     {after: ledger.Counts{Mode: ledger.Prefix, Open: 1, Waiting: 15}, available: 1, want: true},
		"a prefix is too little for sixteen pods": {after: ledger.Counts{Mode: ledger.Prefix, Open: 1, Waiting: 16}, available: 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := Node{After: c.after, Claimed: c.claimed, Returned: c.returned, Limit: Unlimited}
			if c.failing {
				n.Limit = 0
			}
			if got := n.Comes(c.available); got != c.want {
				t.Errorf("Comes() = %t, want %t", got, c.want)
			}
		})
	}
}

func TestRoom(t *testing.T) {
	full := func(n *Node) {
		n.Prefixes, n.Open, n.Free, n.Cooling, n.InUse = 14, 0, 0, 4, 220
	}
	for name, c := range map[string]struct {
		node      Node
		available int
		want      Room
		lack      Reason // of pods that wait; Fits: all can be served
	}{
		"nothing is known of it": {node: Node{}, available: 100, want: Room{Reason: NotReady}},
		"not ready, though it has counts": {
			node: ready(func(n *Node) { n.Ready = false }), available: 100, want: Room{Reason: NotReady},
		},
		"free addresses and slots": {
			node: ready(func(*Node) {}), available: 2, want: Room{Free: 5, Obtainable: 32, InUse: 40},
		},
		"free addresses, and nothing to come": {
			node: ready(func(*Node) {}), want: Room{Free: 5, InUse: 40},
		},
		"nothing free, blocks can be had": {
			node: ready(func(n *Node) { n.Free = 0 }), available: 1, want: Room{Obtainable: 16, InUse: 40},
		},
		"pods that wait have their share": {
			node: ready(func(n *Node) { n.Waiting = 4 }), available: 1, want: Room{Free: 1, Obtainable: 16, InUse: 44},
		},
		"pods that wait take from what can be had": {
			node: ready(func(n *Node) { n.Waiting = 9 }), available: 1, want: Room{Obtainable: 12, InUse: 49},
		},
		"pods wait for all that is free": {
			node: ready(func(n *Node) { n.Waiting = 5 }), want: Room{Reason: NoRoomInSubnet, InUse: 45},
		},
		"all slots are full": {
			node: ready(full), available: 100, want: Room{Reason: Full, InUse: 220},
		},
		"all slots are full, and pods wait": {
			node: ready(func(n *Node) { full(n); n.Waiting = 1 }), available: 100,
			want: Room{Reason: Full, InUse: 221}, lack: Full,
		},
		"all slots are full, and the subnet too": {
			node: ready(full), want: Room{Reason: Full, InUse: 220},
		},
		"the subnet has nothing": {
			node: ready(func(n *Node) { n.Free, n.Waiting = 0, 1 }),
			want: Room{Reason: NoRoomInSubnet, InUse: 41}, lack: NoRoomInSubnet,
		},
		"the subnet has nothing beyond what pods wait for": {
			node: ready(func(n *Node) { n.Free, n.Claimed, n.Waiting = 0, 1, 16 }), want: Room{Reason: NoRoomInSubnet, InUse: 56},
		},
		"all slots that are open are claimed for": {
			node: ready(func(n *Node) { n.Free, n.Open, n.Claimed, n.Waiting = 0, 1, 1, 16 }), want: Room{Reason: Full, InUse: 56},
		},
		"EC2 does not do it": {
			node: ready(func(n *Node) { n.Free, n.Waiting, n.Limit = 0, 1, 0 }), available: 100,
			want: Room{Reason: Refused, InUse: 41}, lack: Refused,
		},
		"EC2 does not do it, in a full subnet": {
			node: ready(func(n *Node) { n.Free, n.Waiting, n.Limit = 0, 1, 0 }),
			want: Room{Reason: Refused, InUse: 41}, lack: Refused,
		},
		"EC2 fails, but there is no slot either": {
			node: ready(func(n *Node) { full(n); n.Limit = 0 }), available: 100, want: Room{Reason: Full, InUse: 220},
		},
		"EC2 fails, but addresses are free": {
			node: ready(func(n *Node) { n.Limit = 0 }), available: 100, want: Room{Free: 5, InUse: 40},
		},
		"EC2 is tried with one block, for which pods wait": {
			node: ready(func(n *Node) { n.Free, n.Waiting, n.Limit = 0, 17, 1 }), available: 100,
			want: Room{Reason: Full, InUse: 57}, lack: Full,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.node.Room(c.available); got != c.want {
				t.Errorf("Room() = %+v, want %+v", got, c.want)
			}
			if got := c.node.Lack(c.available); got != c.lack {
				t.Errorf("Lack() = %s, want %s", got, c.lack)
			}
		})
	}
}
