package allocator

import (
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/extender"
)

// crowd is an allocator that knows so many nodes, of which one in ten is full,
// and their names as a filter has them.
func crowd(nodes int) (*Allocator, [][]byte) {
	a := New(Options{Metrics: NewMetrics(prometheus.NewRegistry()), Log: logr.Discard()})
	a.state.Store(&State{Settings: settings.Settings{Enabled: true, Mode: ledger.Prefix}})
	b := newBudget(cloud.Subnet{ID: "subnet-1", CIDR: netip.MustParsePrefix("10.0.0.0/16"), AsOf: time.Now()}, func(bool) {})
	names := make([][]byte, nodes)
	for i := range names {
		name := fmt.Sprintf("ip-10-%d-%d-%d.eu-central-1.compute.internal", i>>16, i>>8&255, i&255)
		n := newNode(a, name, "i-0")
		n.budget = b
		s := &summary{ready: true, limit: unlimited, Counts: ledger.Counts{Mode: ledger.Prefix, Slots: 14, Prefixes: 9, Open: 5, InUse: i % 144, Free: 144 - i%144}}
		if i%10 == 0 {
			s.Counts = ledger.Counts{Mode: ledger.Prefix, Slots: 14, Prefixes: 14, InUse: 224}
		}
		n.summary.Store(s)
		a.nodes[name] = newHandle(n, nil)
		names[i] = []byte(name)
	}
	return a, names
}

// filtered is what the extender's filter does with View.
func filtered(a *Allocator, names [][]byte) (fit int) {
	a.View(extender.Pod{UID: "pod"}, func(lookup func([]byte) extender.Room) {
		for _, name := range names {
			if lookup(name).Refusal == extender.Fits {
				fit++
			}
		}
	})
	return fit
}

func BenchmarkView(b *testing.B) {
	for _, nodes := range []int{100, 5_000} {
		b.Run(strconv.Itoa(nodes), func(b *testing.B) {
			a, names := crowd(nodes)
			b.ReportAllocs()
			for b.Loop() {
				if fit := filtered(a, names); fit != nodes*9/10 {
					b.Fatal(fit)
				}
			}
		})
	}
}

// A filter of many nodes runs inside the scheduling cycle: what it costs does
// not depend on the collector of garbage.
func TestViewAllocatesNothingPerNode(t *testing.T) {
	a, names := crowd(1_000)
	if allocs := testing.AllocsPerRun(20, func() { filtered(a, names) }); allocs > 10 {
		t.Errorf("%.0f allocations for 1,000 nodes", allocs)
	}
}
