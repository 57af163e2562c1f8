package allocator

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

const (
	firstPause = 5 * time.Second // after a shortage, before the subnet is looked at again
	lastPause  = 2 * time.Minute // what the pauses grow to

	// tight is a room that nodes may feel: no ENI has more slots.
	tight = 64
)

// budget is what the nodes of one subnet share: the map of the subnet, what of
// it is claimed, and what EC2 has refused. A claim is made when a pod is
// promised an address that EC2 has yet to give, so that two nodes never promise
// the same block.
type budget struct {
	id     string
	bits   int   // length of the subnet's mask
	unread error // why its reservations are not known; nil: they are

	room    [2]atomic.Int64  // by kind: blocks that nobody has claimed
	changed func(grown bool) // told after a tight room has changed

	mu       sync.Mutex
	chart    *subnet.Map
	hidden   int // addresses in use that the last describe did not show; see subnet.Map.Hide
	claimed  [2]int
	shortage [2]shortage
	recent   []change // what we changed ourselves and a describe may not show yet
}

// shortage is a kind of block that the subnet was found to lack.
type shortage struct {
	pause  time.Duration // zero: none
	until  time.Time     // when it is time to look again
	known  int           // what the chart showed when EC2 refused it
	denied bool          // EC2 refused although the chart showed room
}

// change is a block that we took from the subnet or gave back to it.
type change struct {
	block netip.Prefix
	taken bool
	at    time.Time
}

func newBudget(s cloud.Subnet, changed func(grown bool)) *budget {
	b := &budget{id: s.ID, bits: s.CIDR.Bits(), unread: s.Unread, changed: changed}
	b.install(s)
	return b
}

// install replaces the chart by what EC2 shows now, with our own changes on
// top that the describe may have missed. It says how many addresses are in use that
// EC2 does not show.
func (b *budget) install(s cloud.Subnet) (hidden int) {
	chart := chart(s)
	hidden = chart.Hide(s.Available)
	b.update(func() {
		// The two of its answers are not of the same moment: what one describe alone finds
		// hidden may only have changed between them.
		if b.chart != nil {
			chart.Hide(s.Available + hidden - min(hidden, b.hidden))
		}
		b.hidden = hidden
		b.recent = slices.DeleteFunc(b.recent, func(c change) bool { return s.AsOf.After(c.at.Add(ledger.Settle)) })
		for _, c := range b.recent {
			c.apply(chart)
		}
		b.chart = chart
		for k := range b.shortage {
			b.shortage[k].look(chart.Room(ledger.Kind(k)), time.Now())
		}
	})
	return hidden
}

// chart is the map of a subnet as EC2 has described it.
func chart(s cloud.Subnet) *subnet.Map {
	m := subnet.NewMap(s.CIDR, s.Reservations)
	for _, u := range s.Used {
		m.Take(u)
	}
	return m
}

func (c change) apply(chart *subnet.Map) {
	if c.taken {
		chart.Take(c.block)
	} else {
		chart.Give(c.block)
	}
}

// look ends a shortage when the chart has changed since: either there is room
// again, or the chart was wrong and now explains the refusal. Where it shows
// again what EC2 refused, one block is offered as a probe once the pause is
// over, and the next pause is longer.
func (s *shortage) look(room int, now time.Time) {
	switch {
	case s.pause == 0:
	case room != s.known:
		*s = shortage{}
	case !now.Before(s.until):
		s.pause = min(2*s.pause, lastPause)
		s.until = now.Add(s.pause)
		s.denied = false
	}
}

// update changes the books and publishes the room.
func (b *budget) update(f func()) {
	b.mu.Lock()
	f()
	felt, grown := false, false
	for k := range b.room {
		now := int64(b.free(ledger.Kind(k)))
		before := b.room[k].Swap(now)
		felt = felt || now != before && min(now, before) < tight
		grown = grown || now > before
	}
	b.mu.Unlock()
	if felt {
		b.changed(grown)
	}
}

// free is what can still be claimed of a kind.
func (b *budget) free(k ledger.Kind) int {
	room := b.chart.Room(k) - b.claimed[k]
	switch s := b.shortage[k]; {
	case s.pause == 0:
	case s.denied:
		room = 0
	default:
		room = min(room, 1-b.claimed[k]) // one probe at a time, whichever node's
	}
	return max(0, room)
}

// available is how many blocks of a kind nobody has claimed. It takes no lock.
func (b *budget) available(k ledger.Kind) int { return int(b.room[k].Load()) }

// claim sets up to n blocks aside, and says how many.
func (b *budget) claim(k ledger.Kind, n int) (got int) {
	if n <= 0 || b.available(k) == 0 {
		return 0
	}
	b.update(func() {
		got = min(n, b.free(k))
		b.claimed[k] += got
	})
	return got
}

// unclaim gives n claimed blocks back.
func (b *budget) unclaim(k ledger.Kind, n int) {
	if n > 0 {
		b.update(func() { b.claimed[k] -= n })
	}
}

// took turns claims into blocks that EC2 has assigned: the shortage, if there
// was one, is over.
func (b *budget) took(k ledger.Kind, claims int, blocks []netip.Prefix) {
	b.update(func() {
		b.claimed[k] -= claims
		b.shortage[k] = shortage{}
		b.note(blocks, true)
	})
}

// gave returns blocks that EC2 has unassigned. Room of our own making is known
// to be there, so it ends a shortage.
func (b *budget) gave(blocks []netip.Prefix) {
	b.update(func() {
		before := [2]int{b.chart.Room(0), b.chart.Room(1)}
		b.note(blocks, false)
		for k := range b.shortage {
			if b.chart.Room(ledger.Kind(k)) > before[k] {
				b.shortage[k] = shortage{}
			}
		}
	})
}

// drifted enters blocks that others have taken or given back.
func (b *budget) drifted(d ledger.Drift) {
	b.update(func() {
		b.note(d.Appeared, true)
		b.note(d.Vanished, false)
	})
}

func (b *budget) note(blocks []netip.Prefix, taken bool) {
	for _, p := range blocks {
		c := change{p, taken, time.Now()}
		c.apply(b.chart)
		b.recent = append(b.recent, c)
	}
}

// lacks notes that a block of a kind was wanted and could not be had, because
// EC2 denied it or because the chart shows none. It says whether that is news.
func (b *budget) lacks(k ledger.Kind, denied bool) (news bool) {
	b.update(func() {
		s := &b.shortage[k]
		news = s.pause == 0
		if news {
			s.pause = firstPause
			s.until = time.Now().Add(s.pause)
		}
		s.denied = s.denied || denied
		s.known = b.chart.Room(k)
	})
	return news
}

// nextLook is when the subnet should be described again: soon after a
// shortage, else after the given interval.
func (b *budget) nextLook(last time.Time, interval time.Duration) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := last.Add(interval)
	for _, s := range b.shortage {
		if s.pause > 0 && s.until.Before(next) {
			next = s.until
		}
	}
	return next
}

// unused says that nobody has any of a block's addresses: EC2 gives it to who asks for
// it by name.
func (b *budget) unused(block netip.Prefix) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.chart.Unused(block)
}
