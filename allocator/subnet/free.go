package subnet

import (
	"net/netip"

	"slotwise.dev/slotwise/allocator/ledger"
)

// LargestFree is the largest aligned block in which nothing is in use or reserved, the
// lowest of several, a /28 at the least; false: there is none. It is what a reservation of
// type prefix keeps for prefixes best.
func (m *Map) LargestFree() (largest netip.Prefix, found bool) {
	for bits := m.cidr.Bits(); bits <= ledger.PrefixBits; bits++ {
		n := 1 << (ledger.PrefixBits - bits)
		for first := 0; first+n <= len(m.cells); first += n {
			if m.free(first, n) {
				return netip.PrefixFrom(m.block(first).Addr(), bits), true
			}
		}
	}
	return netip.Prefix{}, false
}

// free says that nothing is in use or reserved in so many cells.
func (m *Map) free(first, n int) bool {
	for _, c := range m.cells[first : first+n] {
		if c != (cell{}) {
			return false
		}
	}
	return true
}
