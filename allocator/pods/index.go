package pods

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/ledger"
)

// State is how far a pod is.
type State uint8

// The states of a pod. A pod that the index does not know is in none.
const (
	// Binding: the extender binds it, and the watch has not shown it bound.
	Binding State = iota + 1
	// Bound: it is on a node.
	Bound
)

// Home is whose ledger a pod is in. It is compared, and told of ends; see Watch.
type Home interface {
	// Observe takes in a pod that is bound to one of the home's Nodes, in the index too
	// (Group.Place, whose results it returns).
	Observe(p Pod) (was Home, sharing types.UID)
	// Ended takes in that a pod holds its address no longer, though something of it may
	// run for that much longer. The pod may be one that the home does not know.
	Ended(pod types.UID, longer time.Duration)
}

// Index knows where every pod is. It is safe for concurrent use.
type Index struct {
	mu      sync.Mutex
	pods    map[types.UID]*entry
	groups  map[Home]*group
	holders map[netip.Addr]types.UID // in the whole cluster: one live pod an address
	posted  map[netip.Addr]*Attempt  // to bind a pod with this address
	ended   map[netip.Addr]end       // addresses whose pod ended within the cooldown
}

// entry is one pod.
type entry struct {
	state    State
	pod      Pod  // while Bound
	home     Home // while Bound; nil: it is on a Node that nobody knows
	notes    notes
	attempts []*Attempt // on the nodes where it is being bound, the latest last
	guests   []Home     // others whose ledgers hold its address; see Group.Lodge
}

// News is something that people are told of a pod, once.
type News uint8

// The news.
const (
	Hangs News = iota // it waits for an address
	Lost              // it has lost its address
	news
)

// notes are what has been noticed about a pod at its home.
type notes struct {
	withoutAddress time.Time // since when; zero: it has one, or needs none
	told           [news]bool
}

// end is the end of the pod that had an address.
type end struct {
	home Home
	at   time.Time
}

// group is what one home has.
type group struct {
	pods     map[types.UID]*entry
	attempts map[types.UID]*Attempt
	loads    map[string]*Load // by Node
}

// Load is what the pods that are bound to a Node count for.
type Load struct {
	Pods   int // those on the host's network included
	OnHost int // on the host's network
	Asked  int // of the resource that Slotwise advertises
}

// NewIndex makes an index that knows no pod.
func NewIndex() *Index {
	return &Index{
		pods: map[types.UID]*entry{}, groups: map[Home]*group{},
		holders: map[netip.Addr]types.UID{}, posted: map[netip.Addr]*Attempt{}, ended: map[netip.Addr]end{},
	}
}

// Group is the index as one home uses it.
func (x *Index) Group(home Home) Group { return Group{x, home} }

// Get finds a bound pod.
func (x *Index) Get(pod types.UID) (p Pod, bound bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.pods[pod]; e != nil && e.state == Bound {
		return e.pod, true
	}
	return Pod{}, false
}

// Known lists all bound pods.
func (x *Index) Known() (pods []types.UID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for uid, e := range x.pods {
		if e.state == Bound {
			pods = append(pods, uid)
		}
	}
	return pods
}

// End notes that a pod has ended, and lists everybody whose ledger may hold an address for
// it: where it is bound, or else where it is being bound, and where else its address
// lodges. From now on it lodges with nobody new; where it is bound it stays until its home
// removes it.
func (x *Index) End(pod types.UID, now time.Time) (homes []Home) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.pods[pod]
	if e == nil {
		return nil
	}
	x.giveUpLocked(e, now)
	homes = slices.Clone(e.guests)
	switch {
	case e.home != nil:
		homes = append(homes, e.home)
	case len(e.attempts) > 0:
		// The watch never showed it, but it may have been bound a moment ago.
		homes = append(homes, e.attempts[len(e.attempts)-1].home)
	}
	if e.state == Bound && e.home == nil {
		x.removeLocked(e, now)
	}
	return homes
}

// Latest is the latest attempt to bind a pod, nil where there is none.
func (x *Index) Latest(pod types.UID) *Attempt {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.pods[pod]; e != nil && len(e.attempts) > 0 {
		return e.attempts[len(e.attempts)-1]
	}
	return nil
}

// Place notes a pod on a Node that is nobody's. See Group.Place.
func (x *Index) Place(p Pod, now time.Time) (was Home, sharing types.UID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.placeLocked(p, nil, now)
}

// ByAge sorts two bound pods by their age; of two of the same second, by UID.
func (x *Index) ByAge(a, b types.UID) (older, younger Pod, ok bool) {
	p, known := x.Get(a)
	q, alsoKnown := x.Get(b)
	if !known || !alsoKnown {
		return p, q, false
	}
	if cmp.Or(p.Created.Compare(q.Created), cmp.Compare(p.UID, q.UID)) > 0 {
		p, q = q, p
	}
	return p, q, true
}

// placeLocked notes that a pod is bound, says at whose home it was before, and which
// other live pod has the address that is new to this one; the first one seen stays
// noted as the address's holder. Caller holds x.mu.
func (x *Index) placeLocked(p Pod, home Home, now time.Time) (was Home, sharing types.UID) {
	e := x.pods[p.UID]
	if e == nil {
		e = &entry{}
		x.pods[p.UID] = e
	}
	was, before := e.home, e.pod.Address
	if was != home {
		e.notes = notes{}
	}
	x.leaveLocked(e)
	e.state, e.pod, e.home = Bound, p, home
	switch {
	case p.Address.IsValid() || p.OnHost:
		e.notes.withoutAddress = time.Time{}
	case e.notes.withoutAddress.IsZero():
		e.notes.withoutAddress = now
	}
	x.joinLocked(e)
	if before == p.Address {
		return was, ""
	}
	x.releaseLocked(p.UID, before)
	if !p.Address.IsValid() {
		return was, ""
	}
	if holder, taken := x.holders[p.Address]; taken {
		return was, holder
	}
	x.holders[p.Address] = p.UID
	return was, ""
}

// heldByAnotherLocked says that another pod than the given one has an address, or is being
// bound with it. Caller holds x.mu.
func (x *Index) heldByAnotherLocked(address netip.Addr, pod types.UID) bool {
	if holder, taken := x.holders[address]; taken && holder != pod {
		return true
	}
	a := x.posted[address]
	return a != nil && a.UID != pod
}

// giveUpLocked notes that a pod has its address no longer, and remembers the address for
// the cooldown. Caller holds x.mu.
func (x *Index) giveUpLocked(e *entry, now time.Time) {
	x.releaseLocked(e.pod.UID, e.pod.Address)
	if e.pod.Address.IsValid() {
		maps.DeleteFunc(x.ended, func(_ netip.Addr, r end) bool { return now.Sub(r.at) >= ledger.Cooldown })
		x.ended[e.pod.Address] = end{e.home, now}
	}
}

// removeLocked forgets a bound pod. What is left of its attempts goes on by itself.
// Caller holds x.mu.
func (x *Index) removeLocked(e *entry, now time.Time) {
	x.leaveLocked(e)
	x.giveUpLocked(e, now)
	uid := e.pod.UID
	*e = entry{state: Binding, attempts: e.attempts}
	x.dropLocked(uid, e)
}

// dropLocked forgets an entry that stands for nothing any more. Caller holds x.mu.
func (x *Index) dropLocked(pod types.UID, e *entry) {
	if e.state == Binding && len(e.attempts) == 0 {
		delete(x.pods, pod)
	}
}

// releaseLocked forgets a pod as the holder of an address. Caller holds x.mu.
func (x *Index) releaseLocked(pod types.UID, address netip.Addr) {
	if x.holders[address] == pod {
		delete(x.holders, address)
	}
}

// joinLocked counts a pod at its home. Caller holds x.mu.
func (x *Index) joinLocked(e *entry) {
	if e.home == nil {
		return
	}
	g := x.groupLocked(e.home)
	g.pods[e.pod.UID] = e
	l := g.loads[e.pod.Node]
	if l == nil {
		l = &Load{}
		g.loads[e.pod.Node] = l
	}
	l.add(e.pod, 1)
}

// leaveLocked undoes joinLocked. Caller holds x.mu.
func (x *Index) leaveLocked(e *entry) {
	if e.home == nil {
		return
	}
	g := x.groups[e.home]
	delete(g.pods, e.pod.UID)
	l := g.loads[e.pod.Node]
	if l.add(e.pod, -1); l.Pods == 0 {
		delete(g.loads, e.pod.Node)
	}
	x.trimLocked(e.home, g)
}

func (l *Load) add(p Pod, n int) {
	l.Pods += n
	l.Asked += n * p.Asks
	if p.OnHost {
		l.OnHost += n
	}
}

// groupLocked finds or makes the group of a home. Caller holds x.mu.
func (x *Index) groupLocked(home Home) *group {
	g := x.groups[home]
	if g == nil {
		g = &group{pods: map[types.UID]*entry{}, attempts: map[types.UID]*Attempt{}, loads: map[string]*Load{}}
		x.groups[home] = g
	}
	return g
}

// trimLocked forgets the group of a home that has nothing. Caller holds x.mu.
func (x *Index) trimLocked(home Home, g *group) {
	if len(g.pods) == 0 && len(g.attempts) == 0 {
		delete(x.groups, home)
	}
}
