package allocator

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/policy"
)

// crowd is a fleet of so many nodes that have been read, of which one in ten is full, and
// their names as a filter has them. It does not lead, so its workers are idle.
func crowd(t testing.TB, nodes int) (f *fleet, names [][]byte) {
	f = newFleet(t, policy.Manage())
	f.follows.Store(true)
	for i := range nodes {
		kind := "two.slots"
		if i%10 == 0 {
			kind = "no.slots"
		}
		name, instance := fmt.Sprintf("ip-10-%d-%d-%d.eu-central-1.compute.internal", i>>16, i>>8&255, i&255), fmt.Sprintf("i-%d", i)
		f.instance(t, instance, kind, name)
		f.AddNode(Member{Name: name, Instance: instance, Ready: true, Created: registered})
		names = append(names, []byte(name))
	}
	f.begin(t.Context())
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ready := 0
		for _, n := range f.nodes.all() {
			if c, _ := n.Capacity(); c.Ready {
				ready++
			}
		}
		if ready == nodes {
			return f, names
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d nodes are ready", ready, nodes)
		}
	}
}

// filtered is what the extender's filter does with View.
func filtered(f *fleet, names [][]byte) (fit int) {
	f.View(capacity.Pod{UID: "pod"}, func(lookup func([]byte) capacity.Room) {
		for _, name := range names {
			if lookup(name).Reason == capacity.Fits {
				fit++
			}
		}
	})
	return fit
}

func BenchmarkView(b *testing.B) {
	for _, nodes := range []int{100, 5_000} {
		b.Run(strconv.Itoa(nodes), func(b *testing.B) {
			f, names := crowd(b, nodes)
			b.ReportAllocs()
			for b.Loop() {
				if fit := filtered(f, names); fit != nodes*9/10 {
					b.Fatal(fit)
				}
			}
		})
	}
}

// A filter of many nodes runs inside the scheduling cycle: what it costs does not depend
// on the collector of garbage.
func TestViewAllocatesNothingPerNode(t *testing.T) {
	f, names := crowd(t, 500)
	if fit := filtered(f, names); fit != 450 {
		t.Fatalf("%d nodes fit, want 450", fit)
	}
	if allocs := testing.AllocsPerRun(20, func() { filtered(f, names) }); allocs > 10 {
		t.Errorf("%.0f allocations for 500 nodes", allocs)
	}
}
