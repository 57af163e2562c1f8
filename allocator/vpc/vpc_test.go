package vpc

import (
	"net/netip"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want netip.Prefix // the zero Prefix: refused
	}{
		"out of a prefix":              {in: "10.0.1.17/32", want: netip.MustParsePrefix("10.0.1.17/32")},
		"secondary IP keeps host bits": {in: "10.0.1.17/19", want: netip.MustParsePrefix("10.0.1.17/19")},
		"empty":                        {in: ""},
		"no mask length":               {in: "10.0.1.17"},
		"mask length too long":         {in: "10.0.1.17/33"},
		"mask length padded":           {in: "10.0.1.17/024"},
		"dotted mask":                  {in: "10.0.1.17/255.255.255.0"},
		"address padded":               {in: "10.0.1.017/24"},
		"space before":                 {in: " 10.0.1.17/32"},
		"space after":                  {in: "10.0.1.17/32 "},
		"two addresses":                {in: "10.0.1.17/32,10.0.1.18/32"},
		"IPv6":                         {in: "fd00::1/128"},
		"IPv4 in IPv6":                 {in: "::ffff:10.0.1.17/128"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseAddress(tc.in)
			if got != tc.want {
				t.Errorf("ParseAddress(%q) = %v, want %v", tc.in, got, tc.want)
			}
			if refused := err != nil; refused != (tc.want == netip.Prefix{}) {
				t.Errorf("ParseAddress(%q): error %v", tc.in, err)
			}
		})
	}
}

// FuzzParseAddress: whatever is accepted is one IPv4 address, spelled the only
// way there is, so that two annotations are equal exactly if they mean the same.
func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{
		"10.0.1.17/32", "10.0.1.17/19", "0.0.0.0/0", "255.255.255.255/32", "",
		"10.0.1.17", "10.0.1.17/33", "10.0.1.17/032", "10.0.1.17/32,10.0.1.18/32",
		"::ffff:10.0.1.17/128", "fd00::1/128", "10.0.1.17/+8", "10.0.1.17%eth0/32",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseAddress(s)
		if err != nil {
			return
		}
		if !p.IsValid() || !p.Addr().Is4() {
			t.Fatalf("ParseAddress(%q) accepted %v, which is no IPv4 address with a mask", s, p)
		}
		if again := p.String(); again != s {
			t.Fatalf("ParseAddress(%q) accepted a second spelling of %q", s, again)
		}
	})
}
