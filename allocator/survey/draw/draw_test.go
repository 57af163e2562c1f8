package draw

import (
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/survey"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// node has a secondary IP that is held, one that cools, and a prefix with 3 pods.
func node() *survey.Node {
	ip := func(a string, x survey.Address) survey.Block {
		return survey.Block{Prefix: netip.MustParsePrefix(a), Addresses: []survey.Address{x}}
	}
	prefix := survey.Block{Prefix: netip.MustParsePrefix("10.0.0.16/28"), Addresses: make([]survey.Address, 16)}
	for i := range 3 {
		prefix.Addresses[i].State = survey.Held
	}
	return &survey.Node{
		Name: "win-<1>", Group: "web", Slots: 14, SecondaryIPs: 2, Prefixes: 1, InUse: 4, Promised: 224, There: 193, Gap: 31, Hang: 31,
		Blocks: []survey.Block{
			prefix,
			ip("10.0.1.1/32", survey.Address{State: survey.Held}),
			ip("10.0.1.2/32", survey.Address{State: survey.Cooling, Until: now.Add(12 * time.Second)}),
		},
	}
}

// dots counts the dots of a class in a drawing.
func dots(t *testing.T, svg, class string) int {
	t.Helper()
	d := regexp.MustCompile(`class="` + class + `" d="([^"]*)"`).FindStringSubmatch(svg)
	if d == nil {
		return 0
	}
	return strings.Count(d[1], "M")
}

func TestSlots(t *testing.T) {
	d := Slots(node(), now).String()
	for class, want := range map[string]int{"frame": 14, "held": 3, "free": 13, "held-ip": 1, "free-ip": 0} {
		if got := dots(t, d, class); got != want {
			t.Errorf("%d of class %s, want %d", got, class, want)
		}
	}
	if !strings.Contains(d, `stroke-dasharray="18 30"`) || !strings.Contains(d, `data-until="`+strconv.FormatInt(now.Add(12*time.Second).UnixMilli(), 10)) {
		t.Errorf("the ring of an address that has cooled for 18 s is not 18/30 of a circle: %s", d)
	}
	if open := Slots(node(), time.Time{}).String(); !strings.Contains(open, `stroke-dasharray="0 30"`) {
		t.Error("without a time the ring is not open")
	}
	if !strings.Contains(d, "win-&lt;1&gt;: 14 slots, 2 with a secondary IP, 1 with a prefix, 11 empty; 4 addresses in use") {
		t.Errorf("the words are not there, or not escaped: %s", d)
	}
}

// TestSlotsWrap: a large instance type takes several lines, and more blocks than slots are
// drawn all the same.
func TestSlotsWrap(t *testing.T) {
	for name, c := range map[string]struct {
		slots int
		lines float64
	}{"one line": {15, 1}, "two": {16, 2}, "fifty": {49, 4}, "fewer slots than blocks": {1, 1}} {
		t.Run(name, func(t *testing.T) {
			n := node()
			n.Slots = c.slots
			if d := Slots(n, now); d.Height != (c.lines-1)*slotPitch+slotSize+2*slotMargin || dots(t, d.String(), "frame") != max(3, c.slots) {
				t.Errorf("%d slots are %d frames, %v high", c.slots, dots(t, d.String(), "frame"), d.Height)
			}
		})
	}
}

func TestBar(t *testing.T) {
	width := func(d, class string) float64 {
		m := regexp.MustCompile(`class="` + class + `"[^>]* width="([0-9.]+)"`).FindStringSubmatch(d)
		if m == nil {
			return 0
		}
		w, _ := strconv.ParseFloat(m[1], 64)
		return w
	}
	for name, c := range map[string]struct {
		figures          Figures
		used, room, lack float64 // parts of the whole
		promisedIsMarked bool
	}{
		"a gap":              {Figures{InUse: 10, There: 74, Promised: 224}, 10. / 224, 64. / 224, 150. / 224, false},
		"none":               {Figures{InUse: 14, There: 14, Promised: 14}, 1, 0, 0, false},
		"more than promised": {Figures{InUse: 100, There: 107, Promised: 14}, 100. / 107, 7. / 107, 0, true},
		"nothing":            {Figures{}, 0, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := Bar(c.figures).String()
			for class, want := range map[string]float64{"in-use": c.used, "room": c.room, "lack": c.lack} {
				if got := width(d, class) / (barWidth - 2); got < want-.001 || got > want+.001 {
					t.Errorf("%s is %.3f of the bar, want %.3f", class, got, want)
				}
			}
			if strings.Contains(d, `class="mark"`) != c.promisedIsMarked {
				t.Errorf("what is promised is marked: want %t", c.promisedIsMarked)
			}
		})
	}
}

func TestHistory(t *testing.T) {
	at := func(seconds int, there, promised int, mode string) Sample {
		return Sample{now.Add(time.Duration(seconds) * time.Second), Figures{0, there, promised}, mode}
	}
	d := History([]Sample{at(-90, 14, 14, "secondary-ip"), at(-30, 74, 224, "prefix"), at(-10, 224, 224, "prefix")}, time.Minute, now).String()
	if n := dots(t, d, "lack"); n != 1 {
		t.Errorf("%d stretches of time with a gap, want 1: %s", n, d)
	}
	if !strings.Contains(d, "switched to prefix") || !strings.Contains(d, "formula and truth 224") {
		t.Errorf("the switch, or the end of both curves, is not there: %s", d)
	}
	half := num(plot{from: now.Add(-time.Minute), span: time.Minute}.x(now.Add(-30 * time.Second)))
	if !strings.Contains(d, `class="lack" d="M`+half+" ") {
		t.Errorf("the gap does not begin in the middle, at %s: %s", half, d)
	}
	if empty := History(nil, time.Minute, now).String(); !strings.Contains(empty, "nothing has been seen yet") {
		t.Error("no samples are no curves")
	}
}

// TestPicture: the file is well-formed XML, with a row for each node, or for each group
// where they are many.
func TestPicture(t *testing.T) {
	odd := survey.Node{Name: "win-2", Group: "web", Why: "a & b <c>"}
	few := &survey.Cluster{Mode: "prefix", Enabled: true, Nodes: []survey.Node{*node(), odd}, Subnets: []survey.Subnet{
		{ID: "subnet-a", CIDR: "10.0.0.0/27", Cells: []survey.Cell{{Block: netip.MustParsePrefix("10.0.0.0/28"), Use: survey.Kept}, {Block: netip.MustParsePrefix("10.0.0.16/28"), Use: survey.Spoiled}}},
		{ID: "subnet-b", Why: "UnauthorizedOperation"},
	}}
	many := &survey.Cluster{Mode: "prefix"}
	for range 2 * mostRows {
		many.Nodes = append(many.Nodes, *node())
	}
	for name, c := range map[string]struct {
		cluster *survey.Cluster
		want    []string
		slots   int
	}{
		"few":  {few, []string{"31 pods would hang", "224 promised = 4 in use + 189 room + 31 not there", "not looked at: a &amp; b &lt;c&gt;", "subnet-b", "UnauthorizedOperation", `class="cross"`}, 1},
		"many": {many, []string{"1488 pods would hang", "48 nodes", "enable-windows-ipam is off"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.cluster.Totals = survey.Sum(c.cluster.Nodes)
			p := Picture(c.cluster, now)
			for _, want := range c.want {
				if !strings.Contains(p, want) {
					t.Errorf("%q is not in the picture", want)
				}
			}
			if got := strings.Count(p, `class="slots"`); got != c.slots {
				t.Errorf("%d rows of slots, want %d", got, c.slots)
			}
			read := xml.NewDecoder(strings.NewReader(p))
			for {
				if _, err := read.Token(); errors.Is(err, io.EOF) {
					return
				} else if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestHeadline(t *testing.T) {
	for name, c := range map[string]struct {
		totals         survey.Totals
		line, equation string
	}{
		"a gap":       {survey.Totals{Promised: 672, There: 222, InUse: 30, Gap: 450, Hang: 450}, "450 pods would hang", "672 promised = 30 in use + 192 room + 450 not there"},
		"max-pods":    {survey.Totals{Promised: 224, There: 74, InUse: 10, Gap: 150, Hang: 36}, "36 pods would hang", "224 promised = 10 in use + 64 room + 150 not there (114 beyond max-pods)"},
		"one":         {survey.Totals{Promised: 2, There: 1, Gap: 1, Hang: 1}, "1 pod would hang", "2 promised = 0 in use + 1 room + 1 not there"},
		"hidden":      {survey.Totals{Promised: 14, There: 107, InUse: 100, Unseen: 93}, "93 addresses are hidden", "14 promised, 107 there: 0 too many and 93 too few"},
		"all is well": {survey.Totals{Promised: 14, There: 14}, "no pod would hang", "14 promised = 0 in use + 14 room + 0 not there"},
	} {
		t.Run(name, func(t *testing.T) {
			if line, equation := Headline(c.totals), Equation(c.totals); line != c.line || equation != c.equation {
				t.Errorf("%q, %q; want %q, %q", line, equation, c.line, c.equation)
			}
		})
	}
}
