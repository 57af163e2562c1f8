package allocator

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

// node is one Windows node: its ledger, and the bindings that are under way.
// Its EC2 calls are made by its worker alone (worker.go), so that at most one
// that changes the ENI is in flight.
type node struct {
	a        *Allocator
	name     string
	instance string // EC2 instance id
	initial  bool   // known before the pods were read: their first list has its pods
	poked    chan struct{}

	// Set by discovery, before ready.
	eni    string
	nitro  bool
	budget *budget

	summary atomic.Pointer[summary] // what the extender and the advertiser read

	mu       sync.Mutex
	ledger   *ledger.Ledger
	retired  bool  // another node has taken this one's place, or none
	known    bool  // EC2 and the API server have both been read
	ready    bool  // and addresses can be had
	doubted  bool  // the ENI must be described before it is changed
	own      claim // blocks set aside for what is to come
	inFlight claim // blocks set aside for the assign in flight
	bindings map[types.UID]*binding
	pods     map[types.UID]pod // bound to this node, as the watch has shown them
	silent   int               // those of them that do not ask for the resource
	stirred  time.Time         // when its use changed first since its pool was as it should be; zero: not since
	given    time.Time         // when an address was given last

	record record
}

// summary is what one node can do, as of its last change.
type summary struct {
	ledger.Counts
	ready  bool
	own    int // blocks of the mode's kind that are set aside for what is to come
	silent int // pods with an address that do not ask for the resource
}

// claim is a number of blocks set aside in the subnet's budget.
type claim struct {
	kind  ledger.Kind
	count int
}

// remaining is the node's true remaining capacity in pods.
func (n *node) remaining() int { return n.left(n.summary.Load()) }

// left is what remains by a summary, with what the subnet has now.
func (n *node) left(s *summary) int {
	if !s.ready {
		return 0
	}
	return s.Remaining(s.own + n.budget.available(s.Mode))
}

// advertised is the resource that the node shows to the scheduler: what its
// pods have asked for, and what is left. Pods that hold an address without
// asking for the resource are no load to the scheduler, so they do not count.
func (n *node) advertised() int {
	s := n.summary.Load()
	return s.InUse + s.Waiting - s.silent + max(0, n.remaining())
}

// update changes the ledger under the node's lock, gives what is free to pods
// that wait, and publishes what has become of it.
func (n *node) update(f func(l *ledger.Ledger, now time.Time)) {
	n.mu.Lock()
	now := time.Now()
	n.ledger.Advance(now)
	f(n.ledger, now)
	if n.ready && n.a.active() {
		n.serveWaiting(now)
	}
	n.settleClaim()
	n.publish(now)
	n.mu.Unlock()
	n.poke()
}

// refresh takes up what has changed without anybody having said so: time, or whether
// the allocator may act.
func (n *node) refresh() { n.update(func(*ledger.Ledger, time.Time) {}) }

// take gives a pod a free address, if there is one and it is ours to give.
func (n *node) take(uid types.UID, now time.Time) (ledger.Grant, bool) {
	if n.a.observing() {
		return ledger.Grant{}, false
	}
	for {
		g, ok := n.ledger.Take(uid)
		if !ok || !n.contested(g, now) {
			return g, ok
		}
	}
}

// serveWaiting gives free addresses to the pods that wait. A pod that draws an
// address which is contested draws again.
func (n *node) serveWaiting(now time.Time) {
	for grants := n.ledger.Serve(); len(grants) > 0; grants = n.ledger.Serve() {
		for _, g := range grants {
			if n.contested(g, now) {
				n.ledger.Wait(g.Pod)
			} else {
				n.deliver(g)
			}
		}
	}
}

// coolEvery is how exactly an address is free again when it has cooled.
const coolEvery = time.Second

// freeCooled has the nodes give what has cooled since. Workers cannot: they may be
// waiting for EC2.
func (a *Allocator) freeCooled(context.Context) {
	now := time.Now()
	for _, n := range a.everyNode() {
		n.mu.Lock()
		next := n.ledger.NextFree()
		n.mu.Unlock()
		if !next.IsZero() && !next.After(now) {
			n.refresh()
		}
	}
}

// contested takes back an address that a live pod elsewhere has, and rests it.
func (n *node) contested(g ledger.Grant, now time.Time) bool {
	if !n.a.pods.heldElsewhere(g.Address, g.Pod) {
		return false
	}
	n.ledger.Cancel(g.Pod, now)
	n.ledger.Quarantine(g.Address, now)
	return true
}

// compare holds what a description of a whole subnet shows of the node's interface
// against the ledger. Where they differ, the worker looks at it more closely. That
// costs no call, so another hand is noticed within lookInterval.
func (n *node) compare(b *budget, shown cloud.Subnet) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ready || n.budget != b {
		return
	}
	if blocks, there := shown.Interfaces[n.eni]; !there || n.ledger.Differs(blocks, shown.AsOf) {
		n.doubted = true
		n.poke()
	}
}

// deliver hands an address to the bind that waits for it, or has the pod
// annotated where somebody else has bound it.
func (n *node) deliver(g ledger.Grant) {
	n.given = time.Now()
	if b, binding := n.bindings[g.Pod]; binding {
		b.tell(outcome{grant: g})
		return
	}
	if p, bound := n.pods[g.Pod]; bound {
		n.a.annotations.Add(annotation{pod: p.key, uid: g.Pod, node: n.name, address: n.format(g)})
	}
}

// format is the annotation's value: an address out of a prefix is a /32, a
// secondary IP has the subnet's mask.
func (n *node) format(g ledger.Grant) netip.Prefix {
	if g.Kind == ledger.Prefix {
		return netip.PrefixFrom(g.Address, 32)
	}
	return netip.PrefixFrom(g.Address, n.budget.bits)
}

// settleClaim sets as many blocks aside as are to come, and no more.
func (n *node) settleClaim() {
	if !n.ready {
		return
	}
	c := n.ledger.Counts()
	if n.own.kind != c.Mode {
		n.budget.unclaim(n.own.kind, n.own.count)
		n.own = claim{kind: c.Mode}
	}
	if need := min(n.toCome(c), c.Open); need > n.own.count {
		n.own.count += n.budget.claim(c.Mode, need-n.own.count)
	} else {
		n.budget.unclaim(c.Mode, n.own.count-need)
		n.own.count = need
	}
}

// publish shows the node's state to those who read it without its lock, and
// has it advertised.
func (n *node) publish(now time.Time) {
	s := &summary{Counts: n.ledger.Counts(), ready: n.ready, own: n.own.count, silent: n.silent}
	last := n.summary.Swap(s)
	if came := s.InUse + s.Waiting - last.InUse - last.Waiting; came != 0 || s.Cooling != last.Cooling {
		n.a.pace.note(now, came)
		if n.stirred.IsZero() {
			n.stirred = now
		}
	}
	if s.ready && n.a.synced() {
		n.a.advertise(n.name, n.left(s) > n.left(last))
		n.a.record(n)
	}
}

// poke wakes the node's worker.
func (n *node) poke() {
	select {
	case n.poked <- struct{}{}:
	default:
	}
}
