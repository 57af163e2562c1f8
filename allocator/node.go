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
	instance string                 // EC2 instance id
	names    atomic.Pointer[names]  // of its Node objects
	dnsName  atomic.Pointer[string] // what EC2 calls it; nil before discovery
	unread   sync.Map               // names of those whose pods are yet to be read
	poked    chan struct{}

	// Set by discovery, before ready.
	eni    string
	nitro  bool
	budget *budget

	summary   atomic.Pointer[summary] // what the extender and the advertiser read
	nominated atomic.Bool             // there are nominations on it

	mu           sync.Mutex
	ledger       *ledger.Ledger
	retired      bool // another node has taken this one's place, or none
	known        bool // EC2 and the API server have both been read
	ready        bool // and addresses can be had
	doubted      bool // the ENI must be described before it is changed
	doubtedSince time.Time
	own          claim                    // blocks set aside for what is to come
	inFlight     claim                    // blocks set aside for the assign in flight
	stalls       [2]stall                 // of assigning and of unassigning
	restores     map[netip.Prefix]restore // blocks that live pods had lost of late
	bindings     map[types.UID]*binding
	pods         map[types.UID]pod // bound to its Nodes, as the watch has shown them
	counted      map[string]int    // how many pods are on its Nodes, those on the host's network included
	onHost       map[string]int    // how many of those are on the host's network
	toldMaxPods  int               // see tellMaxPods
	asked        map[string]int    // how much of the resource those ask for, by Node
	aftermath    []aftermath       // of those that have ended; see outlive
	shown        shown             // totals of the Node that offers its capacity
	stirred      time.Time         // when its use changed first since its pool was as it should be; zero: not since
	given        time.Time         // when an address was given last

	record record
}

// The stalls of a node.
const (
	assigning = iota
	unassigning
)

// summary is what one node can do, as of its last change.
type summary struct {
	ledger.Counts
	ready    bool
	own      int           // blocks of the mode's kind that are set aside for what is to come
	limit    int           // blocks that EC2 may be counted on for; see stall
	running  int           // of the resource, what kubelets count for pods that live
	cooling  int           // and for those that have ended
	after    ledger.Counts // once all that cools has cooled, and what goes has gone
	returned int           // blocks of the mode's kind that the subnet gets back by then
	podRoom  int           // pods that the kubelet still takes
}

// remaining is the true remaining capacity in pods, with the blocks that the subnet
// has available; below zero where pods wait for which there is nothing.
func (s *summary) remaining(available int) int {
	if !s.ready {
		return 0
	}
	return s.Remaining(min(s.own+available, s.limit))
}

// usable is what of the remaining capacity the kubelet takes.
func (s *summary) usable(available int) int { return min(max(0, s.remaining(available)), s.podRoom) }

// later is what remains once all that cools has cooled.
func (s *summary) later(available int) int {
	return s.after.Remaining(min(s.own+available+s.returned, s.limit))
}

// remaining is the node's true remaining capacity in pods.
func (n *node) remaining() int { return n.left(n.summary.Load()) }

// usable is what of the remaining capacity the node's kubelet takes.
func (n *node) usable() int {
	s := n.summary.Load()
	if !s.ready {
		return 0
	}
	return s.usable(n.budget.available(s.Mode))
}

// left is what remains by a summary, with what the subnet has now.
func (n *node) left(s *summary) int {
	if !s.ready {
		return 0
	}
	return s.remaining(n.budget.available(s.Mode))
}

// advertised is the resource that a Node shows to the scheduler: what its pods have
// asked for, what kubelets may still count of those that have ended, and what is left;
// where pods wait for more than is left, they wait for what cools. Pods that hold an
// address without asking for the resource are no load to the scheduler, so they do not
// count. A Node that another one offers the capacity of shows what its pods have asked
// for.
func (n *node) advertised(name string) int {
	if name != n.name() {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.asked[name]
	}
	s := n.summary.Load()
	return s.running + max(0, s.cooling+n.left(s))
}

// claim is a number of blocks set aside in the subnet's budget.
type claim struct {
	kind  ledger.Kind
	count int
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
	if n.limit(now) == 0 {
		n.refuseUnfit()
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

// tickEvery is how exactly what time alone changes is noticed.
const tickEvery = time.Second

// tick has the nodes take up what time has changed: what has cooled is free, a pause
// is over. Workers cannot: they may be waiting for EC2.
func (a *Allocator) tick(context.Context) {
	now := time.Now()
	for _, n := range a.everyNode() {
		if n.due(now) {
			n.refresh()
		}
		if a.state.Load().Obstacle == nil && !a.observing() {
			n.tellHanging(now)
		}
	}
	a.reviewNominations(now)
}

// due says that time has changed something about the node.
func (n *node) due(now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	cooled := n.ledger.NextFree()
	return n.ready && (!cooled.IsZero() && !cooled.After(now) ||
		len(n.aftermath) > 0 && !now.Before(n.aftermath[0].until) ||
		n.limit(now) != n.summary.Load().limit)
}

// contested takes back an address that a live pod elsewhere has, and rests it.
func (n *node) contested(g ledger.Grant, now time.Time) bool {
	if !n.a.pods.heldElsewhere(g.Address, g.Pod, n) {
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
	if blocks, there := shown.Interfaces[n.eni]; !there || n.ledger.Compare(blocks, shown.AsOf) {
		n.doubt()
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
		n.a.annotations.Add(annotation{pod: p.key, uid: g.Pod, node: n.name(), address: n.format(g)})
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
	if need := min(n.toCome(c), c.Open, n.limit(time.Now())); need > n.own.count {
		n.own.count += n.budget.claim(c.Mode, need-n.own.count)
	} else {
		n.budget.unclaim(c.Mode, n.own.count-need)
		n.own.count = need
	}
}

// publish shows the node's state to those who read it without its lock, and
// has it advertised.
func (n *node) publish(now time.Time) {
	s := n.sum(now)
	last := n.summary.Swap(s)
	if came := s.InUse + s.Waiting - last.InUse - last.Waiting; came != 0 || s.Cooling != last.Cooling {
		n.a.pace.note(now, came)
		if n.stirred.IsZero() {
			n.stirred = now
		}
	}
	if s.ready && n.a.synced() {
		n.tellMaxPods(s.Counts)
	}
	if s.ready && s.limit == 0 && last.limit > 0 {
		n.a.events.refused(n.name(), n.stalls[assigning].explain())
	}
	if s.ready && n.a.synced() {
		n.a.advertise(n.name(), n.left(s) > n.left(last))
		for _, name := range n.names.Load().others {
			n.a.advertise(name, false)
		}
		n.a.record(n)
	}
}

// sum sums the node up. Caller holds n.mu.
func (n *node) sum(now time.Time) *summary {
	s := &summary{ready: n.ready, own: n.own.count}
	s.Counts, s.limit = n.counts(now)
	s.podRoom = n.podRoom()
	s.running, s.cooling = n.running(), n.cooling(s.Counts, now)
	s.after, s.returned = n.ledger.After(nil)
	return s
}

// counts are the ledger's, and how many blocks EC2 may be counted on for: where that is
// none, not on what a call that hangs may bring, either. Caller holds n.mu.
func (n *node) counts(now time.Time) (c ledger.Counts, limit int) {
	c, limit = n.ledger.Counts(), n.limit(now)
	if limit == 0 {
		c.Arriving = 0
	}
	return c, limit
}

// poke wakes the node's worker.
func (n *node) poke() {
	select {
	case n.poked <- struct{}{}:
	default:
	}
}
