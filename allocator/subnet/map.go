// Package subnet is the map of one subnet: which addresses are in use, which are
// reserved, and so what EC2 can still give. It is pure.
package subnet

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"go4.org/netipx"

	"slotwise.dev/slotwise/allocator/ledger"
)

// ReservationKind is the type of a subnet CIDR reservation.
// https://docs.aws.amazon.com/vpc/latest/userguide/subnet-cidr-reservation.html
type ReservationKind string

const (
	// ForPrefixes is kept for prefixes that EC2 chooses; it chooses nothing else there.
	ForPrefixes ReservationKind = "prefix"
	// Explicit is kept for what is asked for by name: EC2 chooses nothing there.
	Explicit ReservationKind = "explicit"
)

// Reservation is a subnet CIDR reservation.
type Reservation struct {
	CIDR netip.Prefix
	Kind ReservationKind
}

// whole is a cell all of whose sixteen addresses are marked.
const whole = 1<<16 - 1

// cell is one aligned /28 of the subnet: a bit for each of its addresses.
type cell struct {
	used     uint16 // assigned, or one of the five that AWS keeps
	prefixes uint16 // under a reservation for prefixes
	explicit uint16 // under an explicit reservation
}

// Map says what a subnet can still give.
type Map struct {
	cidr     netip.Prefix
	cells    []cell
	room     [2]int // by ledger.Kind
	reserved int    // cells of the prefixes' room that are under a reservation for them
	hidden   int    // addresses outside of reservations that are in use, and that EC2 does not show
}

// NewMap makes the map of a subnet in which nothing is assigned yet. AWS keeps
// the first four addresses and the last one of every subnet.
func NewMap(cidr netip.Prefix, reservations []Reservation) *Map {
	cidr = cidr.Masked()
	m := &Map{cidr: cidr, cells: make([]cell, 1<<max(0, ledger.PrefixBits-cidr.Bits()))}
	first := cidr.Addr()
	for range 4 {
		m.mark(netip.PrefixFrom(first, 32), func(c *cell, mask uint16) { c.used |= mask })
		first = first.Next()
	}
	m.mark(netip.PrefixFrom(netipx.PrefixLastIP(cidr), 32), func(c *cell, mask uint16) { c.used |= mask })
	for _, r := range reservations {
		m.mark(r.CIDR.Masked(), func(c *cell, mask uint16) {
			if r.Kind == ForPrefixes {
				c.prefixes |= mask
			} else {
				c.explicit |= mask
			}
		})
	}
	for _, c := range m.cells {
		m.count(c, 1)
	}
	return m
}

// Take marks a block as assigned. Blocks outside of the subnet are ignored.
func (m *Map) Take(p netip.Prefix) { m.change(p, func(c *cell, mask uint16) { c.used |= mask }) }

// Give marks a block as free again. Blocks outside of the subnet are ignored.
func (m *Map) Give(p netip.Prefix) { m.change(p, func(c *cell, mask uint16) { c.used &^= mask }) }

// Room is how many blocks of a kind EC2 can assign where it chooses them itself: wholly
// free aligned /28 blocks, or single free addresses. Addresses whose use is hidden may be
// anywhere, so no more blocks count than the remaining addresses would fill.
func (m *Map) Room(k ledger.Kind) int {
	left := max(0, m.room[ledger.SecondaryIP]-m.hidden)
	if k == ledger.SecondaryIP {
		return left
	}
	return min(m.room[ledger.Prefix], m.reserved+left/ledger.Prefix.Addresses())
}

// Hide notes how many addresses are free by EC2's own count, which leaves out what is
// under reservations. It returns how many more are in use than the map shows: those of
// other accounts that share the subnet.
// https://docs.aws.amazon.com/vpc/latest/userguide/vpc-sharing.html
func (m *Map) Hide(available int) (hidden int) {
	m.hidden = max(0, m.room[ledger.SecondaryIP]-available)
	return m.hidden
}

// Unused says that a block lies in the subnet, and that none of its addresses is
// assigned or one of the five that AWS keeps. So EC2 can assign it by name, even under a
// reservation.
func (m *Map) Unused(p netip.Prefix) bool {
	unused, within := true, false
	m.mark(p, func(c *cell, mask uint16) { unused, within = unused && c.used&mask == 0, true })
	return unused && within
}

// CIDR is the subnet's range.
func (m *Map) CIDR() netip.Prefix { return m.cidr }

func (m *Map) change(p netip.Prefix, f func(*cell, uint16)) {
	m.mark(p, func(c *cell, mask uint16) {
		m.count(*c, -1)
		f(c, mask)
		m.count(*c, 1)
	})
}

// count adds what a cell can give to the room, or takes it away.
func (m *Map) count(c cell, sign int) {
	if c.freeForPrefix() {
		m.room[ledger.Prefix] += sign
		if c.prefixes == whole {
			m.reserved += sign
		}
	}
	m.room[ledger.SecondaryIP] += sign * bits.OnesCount16(^(c.used | c.prefixes | c.explicit))
}

// freeForPrefix says that EC2 may choose the cell as a prefix: nothing in it is in use,
// and no reservation keeps it for something else or covers only a part of it.
func (c cell) freeForPrefix() bool {
	return c.used == 0 && c.explicit == 0 && (c.prefixes == 0 || c.prefixes == whole)
}

// mark applies f to every cell that a range touches, with the bits touched.
func (m *Map) mark(p netip.Prefix, f func(c *cell, mask uint16)) {
	if !m.cidr.Overlaps(p) || p.Bits() < m.cidr.Bits() {
		return
	}
	offset := number(p.Addr()) - number(m.cidr.Addr())
	if p.Bits() > ledger.PrefixBits {
		size := 1 << (32 - p.Bits())
		f(&m.cells[offset/16], uint16(1<<size-1)<<(offset%16))
		return
	}
	for i := range 1 << (ledger.PrefixBits - p.Bits()) {
		f(&m.cells[offset/16+i], whole)
	}
}

func number(a netip.Addr) int {
	four := a.As4()
	return int(binary.BigEndian.Uint32(four[:]))
}

func address(n int) netip.Addr {
	var four [4]byte
	binary.BigEndian.PutUint32(four[:], uint32(n))
	return netip.AddrFrom4(four)
}
