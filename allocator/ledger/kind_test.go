package ledger

import (
	"net/netip"
	"testing"
)

func TestKind(t *testing.T) {
	for name, c := range map[string]struct {
		kind      Kind
		text      string
		addresses int
		blocks    int // for 17 addresses
		block     string
	}{
		"a secondary IP": {SecondaryIP, "secondary-ip", 1, 17, "10.0.0.37/32"},
		"a prefix":       {Prefix, "prefix", 16, 2, "10.0.0.32/28"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.kind.String() != c.text || c.kind.Addresses() != c.addresses || c.kind.BlocksFor(17) != c.blocks {
				t.Errorf("%s of %d addresses, %d blocks for 17", c.kind, c.kind.Addresses(), c.kind.BlocksFor(17))
			}
			block := BlockOf(netip.MustParseAddr("10.0.0.37"), c.kind)
			if block.String() != c.block || KindOf(block) != c.kind {
				t.Errorf("BlockOf = %s, of kind %s; want %s", block, KindOf(block), c.block)
			}
		})
	}
}
