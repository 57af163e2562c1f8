package table

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"slotwise.dev/slotwise/allocator/survey"
)

// cluster has a node with a gap, one without, and one that could not be looked at.
func cluster() *survey.Cluster {
	c := &survey.Cluster{Mode: "prefix", Enabled: true, Nodes: []survey.Node{
		{Name: "win-1", Type: "t3.xlarge", Subnet: "subnet-a", Slots: 14, SecondaryIPs: 10, Prefixes: 1, Pods: 10, MaxPods: 250, Promised: 224, There: 74, Gap: 150, Hang: 150},
		{Name: "win-2", Type: "t3.medium", Subnet: "subnet-a", Slots: 5, Prefixes: 5, Pods: 80, MaxPods: 110, Promised: 80, There: 80, Cooling: new(2)},
		{Name: "win-3", Why: "no such instance: ask its maker"},
	}}
	c.Totals = survey.Sum(c.Nodes)
	return c
}

const want = `NODE   TYPE       SUBNET                    SLOTS  IPS  PREFIXES  PODS  COOLING  MAX-PODS  PROMISED  THERE  GAP  WOULD HANG
win-1  t3.xlarge  subnet-a                     14   10         1    10        -       250       224     74  150         150
win-2  t3.medium  subnet-a                      5    0         5    80        2       110        80     80    0           0
win-3             not looked at, see below      ?    ?         ?     ?        ?         ?         ?      ?    ?           ?

not looked at: win-3: no such instance: ask its maker
150 pods would hang: in prefix mode AWS's formula promises 304 on 2 nodes, of which 154 are there.
Not counted: 1 node that could not be looked at.
`

func TestNodes(t *testing.T) {
	for _, color := range []bool{false, true} {
		var out strings.Builder
		if err := Print(&out, cluster(), "", color); err != nil {
			t.Fatal(err)
		}
		plain := strings.NewReplacer("\x1b[1;31m", "", "\x1b[0m", "").Replace(out.String())
		if diff := cmp.Diff(want, plain); diff != "" {
			t.Errorf("with color %t (-want +got):\n%s", color, diff)
		}
		if red := strings.Count(out.String(), "\x1b[1;31m"); red != map[bool]int{true: 3}[color] {
			t.Errorf("with color %t, %d are red; want the gap, what would hang, and the total", color, red)
		}
	}
}

func TestTotal(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*survey.Cluster)
		want   string
	}{
		"no nodes":                {func(c *survey.Cluster) { c.Nodes = nil }, "There are no Windows nodes"},
		"none could be looked at": {func(c *survey.Cluster) { c.Nodes = c.Nodes[2:] }, "None of 1 Windows nodes could be looked at"},
		"max-pods":                {func(c *survey.Cluster) { c.Nodes[0].Hang = 36 }, "114 more are promised and not there, but max-pods keeps pods from them"},
		"hidden":                  {func(c *survey.Cluster) { c.Nodes[1].Gap = -5 }, "the formula hides 5 addresses"},
		"pods wait":               {func(c *survey.Cluster) { c.Nodes[1].Waiting = 7 }, "7 pods are bound and have no address now"},
		"what Nodes show":         {func(c *survey.Cluster) { c.Nodes[0].Advertised = new(224) }, "The nodes show the scheduler 224 now"},
		"off":                     {func(c *survey.Cluster) { c.Enabled = false }, "enable-windows-ipam is off"},
	} {
		t.Run(name, func(t *testing.T) {
			x := cluster()
			c.change(x)
			x.Totals = survey.Sum(x.Nodes)
			if got := total(x, false); !strings.Contains(got, c.want) {
				t.Errorf("%q does not say %q", got, c.want)
			}
		})
	}
}

func TestFormats(t *testing.T) {
	for format, read := range map[string]func([]byte, any) error{"json": json.Unmarshal, "yaml": func(b []byte, v any) error { return yaml.Unmarshal(b, v) }} {
		var out bytes.Buffer
		var got survey.Cluster
		if err := Print(&out, cluster(), format, true); err != nil {
			t.Fatal(err)
		}
		if err := read(out.Bytes(), &got); err != nil || !cmp.Equal(&got, cluster()) {
			t.Errorf("%s is read back as %+v, %v", format, got, err)
		}
	}
	if err := Print(&bytes.Buffer{}, cluster(), "xml", false); err == nil || !strings.Contains(err.Error(), "want json or yaml") {
		t.Errorf("of -o xml the error is %v", err)
	}
}
