package cloud

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"slotwise.dev/slotwise/allocator/ledger"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

func TestAnswered(t *testing.T) {
	cases := map[string]struct {
		kind  ledger.Kind
		asked int
		texts []string
		want  []netip.Prefix // nil: an error
	}{
		"addresses":          {kind: ledger.SecondaryIP, asked: 2, texts: []string{"10.0.0.5", "10.0.0.9"}, want: prefixes("10.0.0.5/32", "10.0.0.9/32")},
		"prefixes":           {kind: ledger.Prefix, asked: 2, texts: []string{"10.0.0.16/28", "10.0.0.48/28"}, want: prefixes("10.0.0.16/28", "10.0.0.48/28")},
		"too few":            {kind: ledger.Prefix, asked: 2, texts: []string{"10.0.0.16/28"}},
		"none":               {kind: ledger.Prefix, asked: 1},
		"too many":           {kind: ledger.SecondaryIP, asked: 1, texts: []string{"10.0.0.5", "10.0.0.9"}},
		"twice the same":     {kind: ledger.SecondaryIP, asked: 2, texts: []string{"10.0.0.5", "10.0.0.5"}},
		"not aligned":        {kind: ledger.Prefix, asked: 1, texts: []string{"10.0.0.8/28"}},
		"another size":       {kind: ledger.Prefix, asked: 1, texts: []string{"10.0.0.0/24"}},
		"an address":         {kind: ledger.Prefix, asked: 1, texts: []string{"10.0.0.16"}},
		"a CIDR":             {kind: ledger.SecondaryIP, asked: 1, texts: []string{"10.0.0.5/32"}},
		"empty":              {kind: ledger.SecondaryIP, asked: 1, texts: []string{""}},
		"IPv6 address":       {kind: ledger.SecondaryIP, asked: 1, texts: []string{"2001:db8::1"}},
		"IPv6 prefix":        {kind: ledger.Prefix, asked: 1, texts: []string{"2001:db8::/28"}},
		"IPv4 in IPv6 cloth": {kind: ledger.SecondaryIP, asked: 1, texts: []string{"::ffff:10.0.0.5"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := answered(c.kind, c.asked, c.texts)
			if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func FuzzAnswered(f *testing.F) {
	f.Add(true, 1, "10.0.0.16/28")
	f.Add(false, 2, "10.0.0.5 10.0.0.6")
	f.Add(true, 2, "10.0.0.16/28 10.0.0.16/28")
	f.Add(false, 1, "::1")
	f.Fuzz(func(t *testing.T, prefix bool, asked int, answer string) {
		kind := ledger.SecondaryIP
		if prefix {
			kind = ledger.Prefix
		}
		blocks, err := answered(kind, asked, strings.Fields(answer))
		if err != nil {
			return
		}
		if len(blocks) != asked {
			t.Fatalf("%d blocks where %d were asked for", len(blocks), asked)
		}
		for i, b := range blocks {
			if ledger.KindOf(b) != kind || b != b.Masked() || !b.Addr().Is4() {
				t.Fatalf("%v is no %v", b, kind)
			}
			if slices.ContainsFunc(blocks[:i], b.Overlaps) {
				t.Fatalf("%v twice in %v", b, blocks)
			}
		}
	})
}
