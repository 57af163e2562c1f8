package allocator

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// Member is a Node object of the cluster. Several may name one EC2 instance: a
// kubelet that registers anew under another name leaves its old Node behind. They
// share one ledger, as they share one network interface, and one of them offers what
// it has.
type Member struct {
	Name     string
	Instance string // EC2 instance id
	Ready    bool   // its kubelet reports
	Created  time.Time
	MaxPods  int // that its kubelet runs, pods on the host's network included; 0: not known
}

// handle is a ledger with its worker, and the Nodes that it is the ledger of. The
// allocator's lock guards it.
type handle struct {
	*node
	members map[string]Member
	stop    context.CancelFunc // nil before it is started
	ended   chan struct{}      // closed once it has ended
}

func newHandle(n *node, members map[string]Member) *handle {
	return &handle{node: n, members: members, ended: make(chan struct{})}
}

// AddNode makes known that a Windows node exists, or has changed. A node that comes
// back as another instance begins anew.
func (a *Allocator) AddNode(m Member) {
	if n := a.node(m.Name); n != nil && n.instance != m.Instance {
		a.RemoveNode(m.Name)
	}
	a.mu.Lock()
	h := a.instances[m.Instance]
	if h == nil {
		h = newHandle(newNode(a, m.Name, m.Instance), map[string]Member{})
		a.instances[m.Instance] = h
	}
	before, joined := h.members[m.Name]
	h.members[m.Name] = m
	a.nodes[m.Name] = h
	if !joined && a.run != nil {
		h.unread.Store(m.Name, true) // the pods' first list, which was before, has passed it over
		h.poke()
	}
	a.start(h)
	changed := before != m && h.elect()
	a.mu.Unlock()
	if changed {
		a.tellElection(h)
	}
}

// RemoveNode makes known that a node no longer exists. With the last Node of an
// instance its ledger goes.
func (a *Allocator) RemoveNode(name string) {
	a.mu.Lock()
	h := a.nodes[name]
	if h == nil {
		a.mu.Unlock()
		return
	}
	delete(a.nodes, name)
	delete(h.members, name)
	last := len(h.members) == 0
	if last {
		delete(a.instances, h.instance)
	}
	changed := !last && h.elect()
	a.mu.Unlock()
	switch {
	case last:
		h.end()
	case changed:
		a.tellElection(h)
	}
}

// forget drops what is known of an interface that EC2 no longer has. While its
// Node objects stand, discovery tries again under the same names.
func (a *Allocator) forget(n *node, why string) {
	a.log.Info("node forgotten", "node", n.name(), "instance", n.instance, "why", why)
	a.mu.Lock()
	h := a.instances[n.instance]
	if h == nil || h.node != n {
		a.mu.Unlock() // somebody else was quicker
		return
	}
	next := newHandle(newNode(a, n.name(), n.instance), h.members)
	a.instances[n.instance] = next
	for name := range next.members {
		a.nodes[name] = next
		next.unread.Store(name, true)
	}
	next.elect()
	a.mu.Unlock()
	a.nominations.move(n, next.node)
	h.end()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.instances[n.instance] == next {
		a.start(next)
	}
}

// end ends a node that is no more. No lock is held: it may have to wait for its own.
func (h *handle) end() {
	if h.stop != nil {
		h.stop()
	}
	h.retire()
}

// start runs a node's worker, unless it runs, or Run does not yet. The allocator is
// locked. Two must not change one interface at a time, so it waits for the one before.
func (a *Allocator) start(h *handle) {
	if h.stop != nil || a.run == nil {
		return
	}
	ctx, stop := context.WithCancel(a.run)
	h.stop = stop
	before := a.workers[h.instance]
	a.workers[h.instance] = h.ended
	a.group.Go(func() {
		defer a.left(h)
		defer stop()
		if before != nil {
			<-before
		}
		h.serve(ctx)
	})
}

// left notes that a worker has ended.
func (a *Allocator) left(h *handle) {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(h.ended)
	if a.workers[h.instance] == h.ended {
		delete(a.workers, h.instance)
	}
}

// elect chooses the Node that offers what the interface has, and says whether that,
// or the company that it has, may have changed. The allocator is locked. Of those
// whose kubelet reports it is the one that EC2 gives that name, else the latest to
// register: what an older one says may be left over, and any kubelet can claim an
// instance, but not its name.
func (h *handle) elect() (changed bool) {
	dns := h.dnsName.Load()
	best := slices.MaxFunc(slices.Collect(maps.Values(h.members)), func(x, y Member) int {
		return cmp.Or(
			order(x.Ready, y.Ready),
			order(dns != nil && x.Name == *dns, dns != nil && y.Name == *dns),
			x.Created.Compare(y.Created),
			strings.Compare(x.Name, y.Name),
		)
	})
	var others []string
	for name := range h.members {
		if name != best.Name {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	last := h.names.Swap(&names{offers: best.Name, maxPods: best.MaxPods, others: others})
	return last.offers != best.Name || last.maxPods != best.MaxPods || !slices.Equal(last.others, others)
}

func order(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return 1
	}
	return -1
}

// electAgain elects with what has become known of the instance.
func (a *Allocator) electAgain(n *node) {
	a.mu.Lock()
	h := a.instances[n.instance]
	changed := h != nil && h.node == n && h.elect()
	a.mu.Unlock()
	if changed {
		a.tellElection(h)
	}
}

// tellElection has all Nodes of an instance show what follows from an election.
func (a *Allocator) tellElection(h *handle) {
	h.refresh() // what counts on a node is what it asks for there
	all := h.names.Load()
	a.advertise(all.offers, true)
	a.record(h.node)
	for _, name := range all.others {
		a.events.duplicateNode(name, all.offers, h.instance)
		a.advertise(name, false)
		a.recorder.AddAfter(name, recordEvery)
	}
}

// names are the Nodes of one instance: the one that offers its capacity, and the
// others, which offer none.
type names struct {
	offers  string
	maxPods int // of its kubelet
	others  []string
}

// name is the Node that offers what the interface has.
func (n *node) name() string { return n.names.Load().offers }

// offeredByAnother says that another Node than the one of this name offers what the interface
// has. It does not keep the name.
func (n *node) offeredByAnother(name []byte) bool {
	all := n.names.Load()
	return len(all.others) > 0 && all.offers != string(name)
}

// node finds the ledger of a Node, or nil.
func (a *Allocator) node(name string) *node {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if h := a.nodes[name]; h != nil {
		return h.node
	}
	return nil
}

func (a *Allocator) everyNode() []*node {
	a.mu.RLock()
	defer a.mu.RUnlock()
	all := make([]*node, 0, len(a.instances))
	for _, h := range a.instances {
		all = append(all, h.node)
	}
	return all
}
