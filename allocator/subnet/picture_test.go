package subnet

import (
	"net/netip"
	"strings"
	"testing"
)

func TestPicture(t *testing.T) {
	p := netip.MustParsePrefix
	m := NewMap(p("10.0.0.0/24"), []Reservation{{p("10.0.0.64/27"), ForPrefixes}, {p("10.0.0.128/28"), Explicit}, {p("10.0.0.144/30"), ForPrefixes}})
	m.Take(p("10.0.0.16/28"))
	m.Take(p("10.0.0.37/32"))
	const want = "10.0.0.0        +#+.oo..x+.....+\n"
	if got := m.Picture(); got != want {
		t.Errorf("Picture() =\n%swant\n%s", got, want)
	}
	for cidr, want := range map[string]int{"10.0.0.0/24": 1, "10.0.0.0/22": 1, "10.0.0.0/21": 2} {
		if got := strings.Count(NewMap(p(cidr), nil).Picture(), "\n"); got != want {
			t.Errorf("the picture of %s has %d lines, want %d", cidr, got, want)
		}
	}
	wide := NewMap(p("10.0.0.0/21"), nil).Picture()
	if want := "10.0.4.0        "; len(wide) < 81+len(want) || wide[81:81+len(want)] != want {
		t.Errorf("the second line of a /21 does not begin with %q:\n%s", want, wide)
	}
}

func TestForecast(t *testing.T) {
	for name, c := range map[string]struct {
		f    Forecast
		fits bool
		want string
	}{
		"room for all":     {Forecast{Room: 42, Now: 3, Most: 42}, true, "fits, even if every node fills all its slots"},
		"room for today":   {Forecast{Room: 10, Now: 10, Most: 42}, true, "fits for the pods that run now; if every node fills all its slots, 32 prefixes are missing"},
		"not even for now": {Forecast{Room: 2, Now: 3, Most: 42}, false, "does not fit: 1 prefixes are missing for the pods that run now. Free whole /28 blocks, reserve a block of type prefix, or add nodes in another subnet"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.f.Verdict(); got != c.want || c.f.Fits() != c.fits {
				t.Errorf("Verdict() = %q, Fits() = %v", got, c.f.Fits())
			}
		})
	}
}
