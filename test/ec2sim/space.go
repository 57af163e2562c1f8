package ec2sim

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
)

// blockSize is the number of addresses of a prefix; prefixBits its length.
const (
	blockSize  = 16
	prefixBits = 28
)

// Reuse says which of the free addresses and blocks EC2 gives out first.
type Reuse int

const (
	// LowestFirst gives out the lowest free address, so that what was just
	// given back is given out again at once: the hardest case for a client.
	LowestFirst Reuse = iota
	// LongestFreeFirst gives out what has been free longest, as EC2 tends to.
	LongestFreeFirst
)

// purpose is what an address of a subnet is set aside for.
type purpose uint8

const (
	forAnything purpose = iota
	forPrefixes         // in a CIDR reservation of type prefix
	forExplicit         // in a CIDR reservation of type explicit
	forAmazon           // the first four addresses and the last
)

// space is the address space of one subnet: for each address who holds it and
// what it is set aside for. It knows nothing of interfaces and their limits.
type space struct {
	cidr      netip.Prefix
	first     uint32
	cells     []cell
	available int    // addresses that nobody holds and that are for anything
	releases  uint64 // counts releases; the clock of LongestFreeFirst
}

type cell struct {
	holder string // the interface; empty while the address is free
	freed  uint64 // when it was given back, by the count of releases
	use    purpose
}

func (c *cell) available() bool { return c.holder == "" && c.use == forAnything }

// newSpace makes the space of an IPv4 subnet between /16 and /28, which are
// the sizes that a VPC allows.
func newSpace(cidr netip.Prefix) *space {
	first := cidr.Addr().As4()
	s := &space{
		cidr:  cidr,
		first: binary.BigEndian.Uint32(first[:]),
		cells: make([]cell, 1<<(32-cidr.Bits())),
	}
	for _, i := range []int{0, 1, 2, 3, len(s.cells) - 1} {
		s.cells[i].use = forAmazon
	}
	s.available = len(s.cells) - 5
	return s
}

func (s *space) addr(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], s.first+uint32(i))
	return netip.AddrFrom4(b)
}

func (s *space) block(i int) netip.Prefix {
	return netip.PrefixFrom(s.addr(i), prefixBits)
}

// at returns the cells of p, or none where p is not inside the subnet.
func (s *space) at(p netip.Prefix) []cell {
	if !s.cidr.Overlaps(p) || p.Bits() < s.cidr.Bits() {
		return nil
	}
	b := p.Masked().Addr().As4()
	from := int(binary.BigEndian.Uint32(b[:]) - s.first)
	return s.cells[from : from+1<<(32-p.Bits())]
}

// change applies f to every cell of p and keeps the count of available ones.
func (s *space) change(p netip.Prefix, f func(*cell)) {
	cells := s.at(p)
	for i := range cells {
		if cells[i].available() {
			s.available--
		}
		f(&cells[i])
		if cells[i].available() {
			s.available++
		}
	}
}

// reserve sets p aside. What Amazon keeps for itself stays so.
func (s *space) reserve(p netip.Prefix, use purpose) {
	s.change(p, func(c *cell) {
		if c.use != forAmazon {
			c.use = use
		}
	})
}

func (s *space) claim(p netip.Prefix, holder string) {
	s.change(p, func(c *cell) { c.holder = holder })
}

func (s *space) release(p netip.Prefix) {
	s.releases++
	s.change(p, func(c *cell) { c.holder, c.freed = "", s.releases })
}

// assignable says whether p may be assigned by naming it: it is inside the
// subnet, nobody holds any of it, and none of it is Amazon's. CIDR
// reservations are no obstacle to naming.
func (s *space) assignable(p netip.Prefix) bool {
	cells := s.at(p)
	return len(cells) > 0 && !slices.ContainsFunc(cells, func(c cell) bool {
		return c.holder != "" || c.use == forAmazon
	})
}

// held says whether somebody holds any address of p.
func (s *space) held(p netip.Prefix) bool {
	return slices.ContainsFunc(s.at(p), func(c cell) bool { return c.holder != "" })
}

// candidate is a free address or block, by the index of its first cell.
type candidate struct {
	index int
	freed uint64
	rank  int // lower is taken first
}

// freeAddresses chooses n addresses for automatic assignment, or none where
// there are not as many. It keeps off reservations of either type and off
// avoid.
func (s *space) freeAddresses(n int, order Reuse, avoid []netip.Prefix) []netip.Addr {
	if n == 0 {
		return nil
	}
	var found []candidate
	for i := range s.cells {
		if c := &s.cells[i]; c.available() && !overlapsAny(hostPrefix(s.addr(i)), avoid) {
			found = append(found, candidate{index: i, freed: c.freed})
			if order == LowestFirst && len(found) == n {
				break
			}
		}
	}
	chosen := choose(found, n, order)
	addrs := make([]netip.Addr, len(chosen))
	for i, c := range chosen {
		addrs[i] = s.addr(c.index)
	}
	return addrs
}

// freeBlocks chooses n blocks for automatic prefixes, or none where there are
// not as many: those inside reservations of type prefix first, then those that
// no reservation touches.
func (s *space) freeBlocks(n int, order Reuse, avoid []netip.Prefix) []netip.Prefix {
	if n == 0 {
		return nil
	}
	var found []candidate
	for i := 0; i < len(s.cells); i += blockSize {
		if c, ok := s.freeBlock(i); ok && !overlapsAny(s.block(i), avoid) {
			found = append(found, c)
		}
	}
	chosen := choose(found, n, order)
	blocks := make([]netip.Prefix, len(chosen))
	for i, c := range chosen {
		blocks[i] = s.block(c.index)
	}
	return blocks
}

// freeBlock says whether the block that starts at cell i can become an
// automatic prefix: wholly free, and all of it for prefixes or for anything.
func (s *space) freeBlock(i int) (candidate, bool) {
	use := s.cells[i].use
	if use != forPrefixes && use != forAnything {
		return candidate{}, false
	}
	c := candidate{index: i}
	if use != forPrefixes {
		c.rank = 1
	}
	for _, cell := range s.cells[i : i+blockSize] {
		if cell.holder != "" || cell.use != use {
			return candidate{}, false
		}
		c.freed = max(c.freed, cell.freed)
	}
	return c, true
}

// choose takes n of the candidates, which come in order of their index, or
// none where there are fewer.
func choose(found []candidate, n int, order Reuse) []candidate {
	if len(found) < n {
		return nil
	}
	slices.SortStableFunc(found, func(a, b candidate) int {
		if c := cmp.Compare(a.rank, b.rank); c != 0 || order == LowestFirst {
			return c
		}
		return cmp.Compare(a.freed, b.freed)
	})
	return found[:n]
}

func overlapsAny(p netip.Prefix, others []netip.Prefix) bool {
	return slices.ContainsFunc(others, p.Overlaps)
}

func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
