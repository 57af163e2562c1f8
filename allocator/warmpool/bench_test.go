package warmpool

import (
	"testing"

	"slotwise.dev/slotwise/allocator/ledger"
)

func BenchmarkWant(b *testing.B) {
	c := ledger.Counts{Mode: ledger.Prefix, InUseOfMode: 112, Waiting: 5, Occupied: 14}
	b.ReportAllocs()
	for b.Loop() {
		if got := (Targets{}).Want(c); got != 8 {
			b.Fatal(got)
		}
	}
}
