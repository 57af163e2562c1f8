package cloud

import (
	"fmt"
	"net/netip"

	"slotwise.dev/slotwise/allocator/ledger"
)

// answered reads the blocks that EC2 says it has assigned. They must be as many as were
// asked for, and all different.
func answered(kind ledger.Kind, want int, texts []string) ([]netip.Prefix, error) {
	if len(texts) != want {
		return nil, fmt.Errorf("EC2 answered with %d of kind %v where %d were asked for", len(texts), kind, want)
	}
	blocks, err := parseBlocks(kind, texts)
	if err != nil {
		return nil, err
	}
	seen := map[netip.Prefix]bool{}
	for _, b := range blocks {
		if seen[b] {
			return nil, fmt.Errorf("EC2 answered with %v twice", b)
		}
		seen[b] = true
	}
	return blocks, nil
}

// parseBlocks reads what EC2 writes for blocks of a kind: addresses of secondary
// IPs, CIDRs of prefixes.
func parseBlocks(kind ledger.Kind, texts []string) ([]netip.Prefix, error) {
	var blocks []netip.Prefix
	for _, text := range texts {
		b, err := parseBlock(kind, text)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

func parseBlock(kind ledger.Kind, text string) (netip.Prefix, error) {
	if kind == ledger.SecondaryIP {
		a, err := parseAddr(text)
		return netip.PrefixFrom(a, a.BitLen()), err
	}
	b, err := netip.ParsePrefix(text)
	if err != nil || !b.Addr().Is4() || b.Bits() != ledger.PrefixBits || b != b.Masked() {
		return netip.Prefix{}, fmt.Errorf("EC2 gave %q, which is no aligned IPv4 /%d", text, ledger.PrefixBits)
	}
	return b, nil
}

func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return netip.Addr{}, fmt.Errorf("EC2 gave %q, which is no IPv4 address", text)
	}
	return a, nil
}
