package survey

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/subnet"
)

// figures are what a person reads of a node first.
type figures struct{ Promised, There, Gap, Hang, Waiting int }

func TestFigures(t *testing.T) {
	for name, c := range map[string]struct {
		mode    ledger.Kind
		prepare func(*world)
		want    figures
	}{
		"10 pods on secondary IPs, before the switch": {ledger.SecondaryIP, func(w *world) {
			w.node("a", 13, 0)
			w.run("a", 10)
		}, figures{Promised: 14, There: 14}},
		"and after it": {ledger.Prefix, func(w *world) {
			w.node("a", 10, 1)
			w.run("a", 10)
		}, figures{Promised: 224, There: 74, Gap: 150, Hang: 150}},
		"its label chose the other mode": {ledger.SecondaryIP, func(w *world) {
			w.node("a", 10, 1).Labels[settings.LabelMode] = "prefix"
			w.run("a", 10)
		}, figures{Promised: 224, There: 74, Gap: 150, Hang: 150}},
		"max-pods stops some": {ledger.Prefix, func(w *world) {
			w.node("a", 10, 1).Status.Allocatable[corev1.ResourcePods] = resource.MustParse("110")
			w.run("a", 10)
		}, figures{Promised: 224, There: 74, Gap: 150, Hang: 36}},
		"pods on the host's network count for max-pods": {ledger.Prefix, func(w *world) {
			w.node("a", 10, 1).Status.Allocatable[corev1.ResourcePods] = resource.MustParse("110")
			w.run("a", 10)
			w.pod("a", netip.Addr{}, ledger.Prefix).OnHost = true
		}, figures{Promised: 224, There: 74, Gap: 150, Hang: 35}},
		"switched back with 7 prefixes full": {ledger.SecondaryIP, func(w *world) {
			w.node("a", 0, 7)
			w.run("a", 100)
		}, figures{Promised: 14, There: 107, Gap: -93}},
		"pods wait for an address": {ledger.Prefix, func(w *world) {
			w.node("a", 14, 0)
			w.run("a", 14)
			w.pod("a", netip.Addr{}, ledger.Prefix)
		}, figures{Promised: 224, There: 14, Gap: 210, Hang: 210, Waiting: 1}},
		"empty slots, and a subnet that is full": {ledger.Prefix, func(w *world) {
			w.node("a", 0, 1)
			s := w.Subnets["subnet-1"]
			s.Reservations = []subnet.Reservation{{CIDR: s.CIDR, Kind: subnet.Explicit}}
			w.Subnets["subnet-1"] = s
		}, figures{Promised: 224, There: 16, Gap: 208, Hang: 208}},
		"no Nitro instance": {ledger.Prefix, func(w *world) {
			w.node("a", 3, 0)
			m := w.Machines["i-a"]
			m.Nitro = false
			w.Machines["i-a"] = m
		}, figures{Promised: 14, There: 14}},
		"a block that pods show before EC2 does": {ledger.Prefix, func(w *world) {
			w.node("a", 13, 0)
			w.run("a", 13)
			w.pod("a", netip.MustParseAddr("10.0.15.1"), ledger.Prefix).Seen = now
		}, figures{Promised: 224, There: 13 + 16, Gap: 195, Hang: 195}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(c.mode)
			c.prepare(w)
			n := w.only()
			if got := (figures{n.Promised, n.There, n.Gap, n.Hang, n.Waiting}); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// TestShare: what a subnet can give is promised once, however many nodes ask.
func TestShare(t *testing.T) {
	w := newWorld(ledger.Prefix)
	s := w.Subnets["subnet-1"]
	s.Reservations = []subnet.Reservation{{CIDR: netip.MustParsePrefix("10.0.8.0/21"), Kind: subnet.Explicit}, {CIDR: netip.MustParsePrefix("10.0.4.0/22"), Kind: subnet.Explicit}}
	w.Subnets["subnet-1"] = s
	w.take("eni-other", 20, 32)
	w.node("full", 14, 0)
	for _, name := range []string{"a", "b", "c"} {
		w.node(name, 0, 0)
	}
	c := w.cluster()
	free := c.Subnets[0].FreePrefixes
	if free >= 3*14 {
		t.Fatalf("the subnet has room for %d prefixes: too many for this test", free)
	}
	if want := free * 16; c.Totals.There != want {
		t.Errorf("%d pods in all, want %d: as many as the subnet has prefixes for", c.Totals.There, want)
	}
	for _, n := range c.Nodes {
		if n.Name == "full" {
			continue
		}
		if even := free / 3 * 16; n.There < even || n.There > even+16 || !strings.Contains(n.Note, "the subnet has nothing for") {
			t.Errorf("%s has room for %d pods, want about %d; note %q", n.Name, n.There, even, n.Note)
		}
	}
}

func TestOddNodes(t *testing.T) {
	w := newWorld(ledger.Prefix)
	w.node("good", 1, 0)
	w.node("elsewhere", 1, 0).Spec.ProviderID = "gce:///z/1"
	w.node("unknown", 1, 0)
	refused := errors.New("no such instance")
	w.Machines["i-unknown"] = Machine{Err: refused}
	w.node("new", 1, 0)
	delete(w.Machines, "i-new")
	w.node("replaced", 1, 0)
	delete(w.Subnets["subnet-1"].Interfaces, "eni-replaced")
	w.run("replaced", 1)
	c := w.cluster()
	got := map[string]string{}
	for _, n := range c.Nodes {
		got[n.Name], _, _ = strings.Cut(n.Why, ":")
	}
	want := map[string]string{
		"good": "", "elsewhere": `spec.providerID "gce`, "unknown": "no such instance",
		"new":      "instance i-new has just joined, and EC2 has not been asked yet",
		"replaced": "EC2 does not show eni-replaced, the primary network interface of i-replaced, in subnet-1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("why nodes could not be looked at (-want +got):\n%s", diff)
	}
	if c.Nodes[0].Name != "good" || c.Totals.Nodes != 1 || c.Totals.Odd != 4 {
		t.Errorf("first %s, totals %+v; want the good node first, and 4 odd ones", c.Nodes[0].Name, c.Totals)
	}
}

// TestSameInstance: of two Nodes of one instance the newer has the addresses, those of the
// other's pods too.
func TestSameInstance(t *testing.T) {
	w := newWorld(ledger.Prefix)
	w.node("old", 0, 2)
	w.run("old", 20)
	again := w.Nodes[0].DeepCopy()
	again.Name, again.CreationTimestamp = "new", metav1.NewTime(now)
	w.Nodes = append(w.Nodes, again)
	c := w.cluster()
	if n := c.Nodes[0]; n.Name != "new" || n.InUse != 20 || n.There != 224 {
		t.Errorf("%+v, want the new node first, with 20 addresses in use", n)
	}
	if n := c.Nodes[1]; !strings.Contains(n.Why, "node new is the same EC2 instance") {
		t.Errorf("the old node is odd because of %q", n.Why)
	}
}

// TestAddresses: each address of a node is held, cools or is free.
func TestAddresses(t *testing.T) {
	w := newWorld(ledger.Prefix)
	w.node("a", 1, 1)
	w.run("a", 3)
	w.Since = now.Add(-time.Minute)
	w.Pods["a"][0].Ended = now.Add(-10 * time.Second) // on the secondary IP
	w.Pods["a"][1].Ended = now.Add(-time.Hour)
	n := w.only()
	var got []string
	for _, b := range n.Blocks {
		words := []string{b.Kind().String()}
		for _, a := range b.Addresses {
			words = append(words, a.State.String()[:1])
		}
		got = append(got, strings.Join(words, " "))
	}
	if want := []string{"secondary-ip c", "prefix f h" + strings.Repeat(" f", 14)}; !cmp.Equal(got, want) {
		t.Errorf("the addresses are %q, want %q", got, want)
	}
	if at := n.Blocks[0].Addresses[0].Until; !at.Equal(now.Add(20 * time.Second)) {
		t.Errorf("the secondary IP cools until %s, want 20 s from now", at)
	}
	if pod := n.Blocks[1].Addresses[1].Pod.Name; pod != "a-2" {
		t.Errorf("the second address of the prefix is held by %q, want a-2", pod)
	}
	if n.Cooling == nil || *n.Cooling != 1 {
		t.Errorf("cooling is %v, want 1", n.Cooling)
	}
}

// TestCooling: what nobody has seen is not known, rather than nothing.
func TestCooling(t *testing.T) {
	w := newWorld(ledger.Prefix)
	w.node("a", 1, 0)
	for name, c := range map[string]struct {
		since time.Time
		told  map[string]int
		want  *int
	}{
		"just begun":                {now.Add(-ledger.Cooldown + time.Second), nil, nil},
		"never seen":                {time.Time{}, nil, nil},
		"seen for a whole cooldown": {now.Add(-ledger.Cooldown), nil, new(0)},
		"told by NodeSlots":         {time.Time{}, map[string]int{"a": 3}, new(3)},
		"told of another node":      {time.Time{}, map[string]int{"b": 3}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w.Since, w.Cooling = c.since, c.told
			if got := w.only().Cooling; !cmp.Equal(got, c.want) {
				t.Errorf("cooling is %v, want %v", got, c.want)
			}
		})
	}
}

func TestCells(t *testing.T) {
	w := newWorld(ledger.Prefix)
	w.node("a", 1, 1) // in 10.0.1.0/28 and 10.0.1.16/28
	s := w.Subnets["subnet-1"]
	s.Reservations = []subnet.Reservation{
		{CIDR: netip.MustParsePrefix("10.0.2.0/28"), Kind: subnet.ForPrefixes}, {CIDR: netip.MustParsePrefix("10.0.2.16/28"), Kind: subnet.Explicit},
	}
	w.Subnets["subnet-1"] = s
	w.take("eni-rds", 1, 32)   // in 10.0.1.32/28
	w.take("eni-linux", 1, 28) // 10.0.1.48/28
	s = w.Subnets["subnet-1"]
	s.Holders = append(s.Holders, cloud.Holder{Interface: "eni-a", Blocks: []netip.Prefix{netip.MustParsePrefix("10.0.1.33/32")}}) // beside RDS
	w.Subnets["subnet-1"] = s
	got := map[string]Use{}
	cells := w.cluster().Subnets[0].Cells
	for _, c := range cells {
		if c.Use != Unused {
			got[c.Block.String()] = c.Use
		}
	}
	want := map[string]Use{
		"10.0.0.0/28": Kept, "10.0.15.240/28": Kept, "10.0.1.0/28": NodeIPs, "10.0.1.16/28": NodePrefix,
		"10.0.1.32/28": Spoiled, "10.0.1.48/28": OtherPrefix, "10.0.2.0/28": Reserved, "10.0.2.16/28": Explicit,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the uses of blocks (-want +got):\n%s", diff)
	}
	if owners := cells[18].Owners; !cmp.Equal(owners, []string{"10.0.1.32 eni-rds", "10.0.1.33 a"}) || len(cells) != 256 {
		t.Errorf("of %d blocks, the owners of 10.0.1.32/28 are %q", len(cells), owners)
	}
}
