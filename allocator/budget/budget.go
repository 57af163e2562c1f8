package budget

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/subnet"
)

// NotifyBelow is how many blocks a subnet has available of a kind when a change of that
// may make a difference to a node: no network interface has more slots.
const NotifyBelow = 64

// Budget is what the nodes of one subnet share. It is safe for concurrent use. Subnets
// makes it.
type Budget struct {
	ID     string // of the subnet
	Bits   int    // length of the subnet's mask
	Unread error  // why its reservations are not known; nil: they are

	listener Listener
	room     [2]atomic.Int64 // by kind: blocks that nobody has claimed

	mu       sync.Mutex
	space    *subnet.Map
	hidden   int    // addresses in use that the last describe did not show; see subnet.Map.Hide
	claimed  [2]int // by kind: blocks that are promised and not yet taken
	shortage [2]shortage
	shown    map[string][]netip.Prefix // by interface: what the last describe showed
	recent   []change                  // what nodes changed themselves and a describe may not show yet
	news     news                      // what the listener has not been told yet
}

// news is what has become of a budget since the listener was told last.
type news struct {
	changed bool // a room that is below NotifyBelow, or was
	grew    bool // more of a kind has come to be available, though less may be by now
}

// change is a block that a node took from the subnet or gave back to it.
type change struct {
	block  netip.Prefix
	holder string // the interface that took it; empty: it was given back
	at     time.Time
}

func (c change) apply(space *subnet.Map) {
	if c.holder != "" {
		space.Take(c.block)
	} else {
		space.Give(c.block)
	}
}

// newBudget makes the budget of a subnet as EC2 shows it first. That is no news: nobody
// knows the budget yet.
func newBudget(s cloud.Subnet, l Listener) *Budget {
	b := &Budget{ID: s.ID, Bits: s.CIDR.Bits(), Unread: s.Unread, listener: l}
	b.install(s)
	b.news = news{}
	return b
}

// install replaces the map by what EC2 shows now, with the nodes' own changes on top
// that the describe may have missed. It says how many addresses are in use that EC2 does
// not show.
func (b *Budget) install(s cloud.Subnet) (hidden int) {
	space := s.Map()
	hidden = space.Hide(s.Available)
	b.mu.Lock()
	defer b.mu.Unlock()
	// The two of its answers are not of the same moment: what one describe alone finds
	// hidden may only have changed between them.
	if b.space != nil {
		space.Hide(s.Available + hidden - min(hidden, b.hidden))
	}
	b.hidden = hidden
	b.recent = slices.DeleteFunc(b.recent, func(c change) bool { return s.AsOf.After(c.at.Add(ledger.Settle)) })
	for _, c := range b.recent {
		c.apply(space)
	}
	b.space, b.shown = space, s.Interfaces
	now := time.Now()
	for k := range b.shortage {
		b.shortage[k] = b.shortage[k].after(space.Room(ledger.Kind(k)), now)
	}
	b.publishLocked()
	return hidden
}

// Available is how many blocks of a kind nobody has claimed. It takes no lock.
func (b *Budget) Available(k ledger.Kind) int { return int(b.room[k].Load()) }

// Claim sets up to n blocks of a kind aside, and says how many.
func (b *Budget) Claim(k ledger.Kind, n int) (got int) {
	if n <= 0 || b.Available(k) == 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	got = min(n, b.freeLocked(k))
	b.claimed[k] += got
	b.publishLocked()
	return got
}

// Contested says that n blocks of a kind must not be asked for by name now: with what others
// have set aside than the one who asks, who has set own aside, there would be too few, so
// that one of the calls had to fail. Where nobody else has, it may be tried whatever the map
// shows: use that EC2 does not show may be anywhere.
func (b *Budget) Contested(k ledger.Kind, n, own int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return contested(n, b.space.Room(k), b.claimed[k]-own)
}

// contested says that n blocks are more than others leave of a room, if others claim any.
func contested(n, room, others int) bool { return others > 0 && room-others < n }

// ClaimNamed sets n blocks of a kind aside that are to be asked for by name, and says
// whether it has: not where they are contested.
func (b *Budget) ClaimNamed(k ledger.Kind, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if contested(n, b.space.Room(k), b.claimed[k]) {
		return false
	}
	b.claimed[k] += n
	b.publishLocked()
	return true
}

// Unclaim gives n claimed blocks back.
func (b *Budget) Unclaim(k ledger.Kind, n int) {
	if n <= 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claimed[k] -= n
	b.publishLocked()
}

// Took turns claims into blocks that EC2 has chosen for an interface. The shortage of
// that kind, if there was one, is over.
func (b *Budget) Took(eni string, k ledger.Kind, claims int, blocks []netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claimed[k] -= claims
	b.shortage[k] = shortage{}
	b.noteLocked(blocks, eni)
	b.publishLocked()
}

// TookNamed is Took for blocks that were asked for by name. That these could be had says
// nothing of what EC2 chooses, so a shortage goes on.
func (b *Budget) TookNamed(eni string, k ledger.Kind, claims int, blocks []netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claimed[k] -= claims
	b.noteLocked(blocks, eni)
	b.publishLocked()
}

// Gave returns blocks that EC2 has unassigned. Room that a node has made itself is known
// to be there, so it ends a shortage.
func (b *Budget) Gave(blocks []netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := [2]int{b.space.Room(0), b.space.Room(1)}
	b.noteLocked(blocks, "")
	for k := range b.shortage {
		if b.space.Room(ledger.Kind(k)) > before[k] {
			b.shortage[k] = shortage{}
		}
	}
	b.publishLocked()
}

// Drifted enters blocks that other clients have put on an interface or taken from it.
// What they took EC2 may have given to another interface since: that stays taken.
func (b *Budget) Drifted(eni string, d ledger.Drift) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noteLocked(d.Appeared, eni)
	vanished := slices.DeleteFunc(slices.Clone(d.Vanished), func(p netip.Prefix) bool { return elsewhere(p, eni, b.recent, b.shown) })
	b.noteLocked(vanished, "")
	b.publishLocked()
}

// Completed adds to what a describe showed of an interface as of a time what it has taken
// from the subnet since, or a moment before: the describe may not show that yet. Whoever
// reads the interface for the first time knows of it from nowhere else.
func (b *Budget) Completed(eni string, shown []netip.Prefix, asOf time.Time) []netip.Prefix {
	b.mu.Lock()
	defer b.mu.Unlock()
	var taken []netip.Prefix
	for _, c := range b.recent {
		taken = slices.DeleteFunc(taken, c.block.Overlaps)
		if c.holder == eni && !asOf.After(c.at.Add(ledger.Settle)) {
			taken = append(taken, c.block)
		}
	}
	taken = slices.DeleteFunc(taken, func(t netip.Prefix) bool { return slices.ContainsFunc(shown, t.Overlaps) })
	return slices.Concat(shown, taken)
}

// elsewhere says that another interface than the given one has an address of a block, as far
// as is known from recent changes and from what a describe showed by interface.
func elsewhere(block netip.Prefix, eni string, recent []change, shown map[string][]netip.Prefix) bool {
	for _, c := range slices.Backward(recent) {
		if c.block.Overlaps(block) {
			return c.holder != "" && c.holder != eni
		}
	}
	for other, blocks := range shown {
		if other != eni && slices.ContainsFunc(blocks, block.Overlaps) {
			return true
		}
	}
	return false
}

// Lacks notes that a block of a kind was wanted and could not be had, because EC2 denied
// it or because the map shows none. It says whether that is news.
func (b *Budget) Lacks(k ledger.Kind, denied bool) (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	news = !b.shortage[k].lasts()
	b.shortage[k] = b.shortage[k].noted(b.space.Room(k), denied, time.Now())
	b.publishLocked()
	return news
}

// Unused says that nobody has any of a block's addresses: EC2 gives it to who asks for
// it by name.
func (b *Budget) Unused(block netip.Prefix) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.space.Unused(block)
}

// Notify tells the listener of what has changed since it was told last, in the calling
// goroutine. Whoever has changed something calls it, once no lock is held any more that
// the listener may want.
//
// Nothing is lost: what is available is published before the news of it is set, and
// whoever takes the news tells of it. Several may do so at a time and in any order, and
// what one has changed another may tell of, even a moment after this returns. So the
// listener is told that something has changed and not what: it reads what is available.
func (b *Budget) Notify() {
	b.mu.Lock()
	n := b.news
	b.news = news{}
	b.mu.Unlock()
	if n.changed {
		b.listener.RoomChanged(b.ID, n.grew)
	}
}

// retryAt is when it is time to look again for what the subnet lacks; the zero time where
// it lacks nothing.
func (b *Budget) retryAt() (at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.shortage {
		if s.lasts() && (at.IsZero() || s.until.Before(at)) {
			at = s.until
		}
	}
	return at
}

// noteLocked enters blocks into the map, with the interface that has taken them, empty
// where they were given back, and remembers them for the next map. Caller holds b.mu.
func (b *Budget) noteLocked(blocks []netip.Prefix, holder string) {
	for _, p := range blocks {
		c := change{p, holder, time.Now()}
		c.apply(b.space)
		b.recent = append(b.recent, c)
	}
}

// publishLocked shows what is available to those who take no lock, and notes what the
// listener is to be told. Caller holds b.mu.
func (b *Budget) publishLocked() {
	changed, grew := false, false
	for k := range b.room {
		now := int64(b.freeLocked(ledger.Kind(k)))
		before := b.room[k].Swap(now)
		changed = changed || now != before && min(now, before) < NotifyBelow
		grew = grew || now > before
	}
	if changed {
		b.news = news{changed: true, grew: b.news.grew || grew}
	}
}

// freeLocked is what can still be claimed of a kind. Caller holds b.mu.
func (b *Budget) freeLocked(k ledger.Kind) int {
	room := b.space.Room(k) - b.claimed[k]
	switch s := b.shortage[k]; {
	case !s.lasts():
	case s.denied:
		room = 0
	default:
		room = min(room, 1-b.claimed[k]) // one try at a time, whichever node's
	}
	return max(0, room)
}
