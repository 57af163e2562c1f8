package subnet

import (
	"fmt"
	"net/netip"
	"strings"

	"slotwise.dev/slotwise/allocator/ledger"
)

// Legend explains the characters of a picture.
const Legend = `. free /28    o free /28, reserved for prefixes    + partly used    # full    x explicitly reserved`

// perLine is how many /28 blocks a line of a picture shows: those of a /22.
const perLine = 64

// Picture draws the map, a character for each /28; see Legend.
func (m *Map) Picture() string {
	var out strings.Builder
	for first := 0; first < len(m.cells); first += perLine {
		fmt.Fprintf(&out, "%-15s ", m.block(first).Addr())
		for _, c := range m.cells[first:min(first+perLine, len(m.cells))] {
			out.WriteByte(c.symbol())
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// block is the /28 with the given number.
func (m *Map) block(i int) netip.Prefix {
	return netip.PrefixFrom(address(number(m.cidr.Addr())+i*ledger.Prefix.Addresses()), ledger.PrefixBits)
}

func (c cell) symbol() byte {
	switch {
	case c.used == whole:
		return '#'
	case c.explicit != 0:
		return 'x'
	case c.used != 0 || !c.freeForPrefix():
		return '+'
	case c.prefixes == whole:
		return 'o'
	}
	return '.'
}
