package subnet

import (
	"net/netip"
	"testing"
)

func TestLargestFree(t *testing.T) {
	for name, c := range map[string]struct {
		cidr     string
		taken    []string
		reserved string
		want     string // empty: none
	}{
		"a new subnet":              {cidr: "10.0.0.0/24", want: "10.0.0.64/26"},
		"the first half is spoiled": {cidr: "10.0.0.0/24", taken: []string{"10.0.0.70/32"}, want: "10.0.0.128/26"},
		"all but a little":          {cidr: "10.0.0.0/26", taken: []string{"10.0.0.20/32"}, want: "10.0.0.32/28"},
		"reserved already":          {cidr: "10.0.0.0/26", reserved: "10.0.0.16/28", want: "10.0.0.32/28"},
		"none":                      {cidr: "10.0.0.0/27"},
		"of a subnet as a prefix":   {cidr: "10.0.0.0/28"},
	} {
		t.Run(name, func(t *testing.T) {
			var reserved []Reservation
			if c.reserved != "" {
				reserved = []Reservation{{netip.MustParsePrefix(c.reserved), ForPrefixes}}
			}
			m := NewMap(netip.MustParsePrefix(c.cidr), reserved)
			for _, p := range c.taken {
				m.Take(netip.MustParsePrefix(p))
			}
			got, found := m.LargestFree()
			if found != (c.want != "") || found && got.String() != c.want {
				t.Errorf("%v, %t; want %q", got, found, c.want)
			}
		})
	}
}
