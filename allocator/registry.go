package allocator

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"slotwise.dev/slotwise/allocator/annotate"
	"slotwise.dev/slotwise/allocator/node"
	"slotwise.dev/slotwise/allocator/nodeslots"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/settings"
)

// Member is a Node object of the cluster. Several may name one EC2 instance: a kubelet
// that registers anew under another name leaves its old Node behind. They share one
// ledger, as they share one network interface, and one of them offers what it has.
type Member struct {
	Name     string
	Instance string // EC2 instance id
	Ready    bool   // its kubelet reports
	Created  time.Time
	MaxPods  int // that its kubelet runs, pods on the host's network included; 0: not known
	Mode     settings.Choice
}

// registry knows which Node is which ledger.
type registry struct {
	shared  *node.Shared
	workers sync.WaitGroup
	view    atomic.Pointer[map[string]*node.Node] // see snapshot; nil: it is to be made anew

	mu        sync.Mutex
	instances map[string]*handle         // by EC2 instance
	homes     map[string]*handle         // by the name of a Node
	last      map[string]<-chan struct{} // by instance: closed once its latest worker has ended
	run       context.Context            // of the workers; nil before start
}

// handle is a ledger with its worker, and the Nodes that it is the ledger of. The
// registry's lock guards it.
type handle struct {
	node    *node.Node
	members map[string]Member
	stop    context.CancelFunc // nil before it is started
	ended   chan struct{}      // closed once its worker has ended
}

func newRegistry(shared *node.Shared) *registry {
	return &registry{
		shared: shared, instances: map[string]*handle{}, homes: map[string]*handle{}, last: map[string]<-chan struct{}{},
	}
}

// find finds the ledger of a Node, or nil.
func (r *registry) find(name string) *node.Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.homes[name]; h != nil {
		return h.node
	}
	return nil
}

// snapshot are all Nodes by name, for whoever looks at many of them. Nobody changes it,
// and unless Nodes have come or gone it takes no lock.
func (r *registry) snapshot() map[string]*node.Node {
	if view := r.view.Load(); view != nil {
		return *view
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	view := make(map[string]*node.Node, len(r.homes))
	for name, h := range r.homes {
		view[name] = h.node
	}
	r.view.Store(&view)
	return view
}

// Home is find for the index of pods.
func (r *registry) Home(name string) pods.Home {
	if n := r.find(name); n != nil { // a nil node would be no nil home
		return n
	}
	return nil
}

// slots is find for the NodeSlots objects.
func (r *registry) slots(name string) *nodeslots.Object {
	if n := r.find(name); n != nil {
		return n.Slots
	}
	return nil
}

// owner is find for the annotations.
func (r *registry) owner(name string) annotate.Owner {
	if n := r.find(name); n != nil {
		return n.Binds
	}
	return nil
}

// all are the ledgers, each once.
func (r *registry) all() []*node.Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*node.Node, 0, len(r.instances))
	for _, h := range r.instances {
		all = append(all, h.node)
	}
	return all
}

// free counts the addresses that all nodes can give now or as soon as their calls in
// flight are done.
func (r *registry) free() (sum int) {
	for _, n := range r.all() {
		if c, _ := n.Capacity(); c.Ready {
			sum += max(0, c.Free+c.Arriving*c.Mode.Addresses()-c.Waiting)
		}
	}
	return sum
}

// allSlots are the NodeSlots objects of all ledgers.
func (r *registry) allSlots() (objects []*nodeslots.Object) {
	for _, n := range r.all() {
		objects = append(objects, n.Slots)
	}
	return objects
}

// start runs the workers of the nodes, those that come later too, until ctx ends.
func (r *registry) start(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run = ctx
	for _, h := range r.instances {
		r.startLocked(h)
	}
}

// wait waits until all workers have ended.
func (r *registry) wait() { r.workers.Wait() }

// startLocked runs a node's worker, unless it runs. Two must not change one interface at
// a time, so it waits for the one before. Caller holds r.mu.
func (r *registry) startLocked(h *handle) {
	if h.stop != nil || r.run == nil {
		return
	}
	ctx, stop := context.WithCancel(r.run)
	h.stop = stop
	before := r.last[h.node.ID.Instance]
	r.last[h.node.ID.Instance] = h.ended
	r.workers.Go(func() {
		defer r.left(h)
		defer stop()
		if before != nil {
			<-before
		}
		h.node.Serve(ctx)
	})
}

// left notes that a worker has ended.
func (r *registry) left(h *handle) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(h.ended)
	if r.last[h.node.ID.Instance] == h.ended {
		delete(r.last, h.node.ID.Instance)
	}
}

// add notes a Node, or what has changed about it. It answers with its ledger, and
// whether another Node is now the one that offers its capacity, or in other company.
func (r *registry) add(m Member) (n *node.Node, elected bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.instances[m.Instance]
	if h == nil {
		h = &handle{node: node.New(r.shared, m.Name, m.Instance), members: map[string]Member{}, ended: make(chan struct{})}
		r.instances[m.Instance] = h
	}
	before, joined := h.members[m.Name]
	h.members[m.Name] = m
	r.homes[m.Name] = h
	if !joined {
		r.view.Store(nil)
		if r.run != nil { // the first list of the pods, which was before, has passed it over
			h.node.ID.ReadPods(m.Name)
			h.node.Wake()
		}
	}
	r.startLocked(h)
	return h.node, before != m && h.elect()
}

// remove forgets a Node. With the last Node of an instance its ledger goes.
func (r *registry) remove(name string) (n *node.Node, last, elected bool) {
	r.mu.Lock()
	h := r.homes[name]
	if h == nil {
		r.mu.Unlock()
		return nil, false, false
	}
	delete(r.homes, name)
	delete(h.members, name)
	if last = len(h.members) == 0; last {
		delete(r.instances, h.node.ID.Instance)
	} else {
		elected = h.elect()
	}
	r.view.Store(nil)
	r.mu.Unlock()
	if last {
		h.end()
	}
	return h.node, last, elected
}

// replace has a node read anew under the same names: it answers with the one that takes
// its place, or nil where somebody else was quicker. What is to be told of it before the
// old one ends is then.
func (r *registry) replace(n *node.Node, then func(next *node.Node)) {
	instance := n.ID.Instance
	r.mu.Lock()
	h := r.instances[instance]
	if h == nil || h.node != n {
		r.mu.Unlock()
		return
	}
	next := &handle{node: node.New(r.shared, n.Name(), instance), members: h.members, ended: make(chan struct{})}
	r.instances[instance] = next
	for name := range next.members {
		r.homes[name] = next
		next.node.ID.ReadPods(name)
	}
	next.elect()
	r.view.Store(nil)
	r.mu.Unlock()
	then(next.node)
	h.end()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.instances[instance] == next {
		r.startLocked(next)
	}
}

// end ends a node that is no more. No lock is held: it may have to wait for its own.
func (h *handle) end() {
	if h.stop != nil {
		h.stop()
	}
	h.node.Retire()
}

// electAgain elects with what has become known of the instance.
func (r *registry) electAgain(n *node.Node) (elected bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.instances[n.ID.Instance]
	return h != nil && h.node == n && h.elect()
}

// elect chooses the Node that offers what the interface has, and says whether that, or
// the company that it has, has changed. Of those whose kubelet reports it is the one that
// EC2 gives that name, else the latest to register: what an older one says may be left
// over, and any kubelet can claim an instance, but not its name.
func (h *handle) elect() (changed bool) {
	dns := h.node.ID.DNSName()
	named := func(m Member) bool { return dns != "" && m.Name == dns }
	best := slices.MaxFunc(slices.Collect(maps.Values(h.members)), func(x, y Member) int {
		return cmp.Or(
			order(x.Ready, y.Ready),
			order(named(x), named(y)),
			x.Created.Compare(y.Created),
			strings.Compare(x.Name, y.Name),
		)
	})
	names := node.Names{Offers: best.Name, MaxPods: best.MaxPods, Mode: best.Mode}
	for name := range h.members {
		if name != best.Name {
			names.Others = append(names.Others, name)
		}
	}
	slices.Sort(names.Others)
	return h.node.ID.Rename(names)
}

// order sorts false before true.
func order(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return 1
	}
	return -1
}
