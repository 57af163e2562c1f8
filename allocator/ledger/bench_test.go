package ledger

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// crowded is the ledger of an m5.xlarge with a prefix in each of its 14 slots,
// and pods on every other address.
func crowded() *Ledger {
	l := New(14, Prefix)
	for i := range 14 {
		l.add(newBlock(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(16 * i)}), PrefixBits), epoch), epoch)
	}
	for i := range 14 * 8 {
		l.Hold(types.UID(fmt.Sprint("pod-", i)), netip.AddrFrom4([4]byte{10, 0, 0, byte(2 * i)}), Prefix, epoch)
	}
	return l
}

// BenchmarkTakeEnd is the life of a pod, one a second, while the addresses of
// forty others cool, and EC2 is looked at every ten seconds.
func BenchmarkTakeEnd(b *testing.B) {
	l, now := crowded(), epoch
	var eni []netip.Prefix
	for _, x := range l.blocks {
		eni = append(eni, x.prefix)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now = now.Add(time.Second)
		if i%10 == 0 {
			l.Compare(eni, now)
		}
		l.Advance(now)
		if _, ok := l.Take("pod"); !ok {
			b.Fatal("no address is free")
		}
		l.End("pod", now)
	}
}

// BenchmarkWaitServe is a pod that waits while others have all there is.
func BenchmarkWaitServe(b *testing.B) {
	l := crowded()
	for i := 0; ; i++ {
		if _, ok := l.Take(types.UID(fmt.Sprint("more-", i))); !ok {
			break
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Wait("pod")
		if got := l.Serve(); len(got) > 0 {
			b.Fatalf("%v was given", got)
		}
		l.Cancel("pod", epoch)
	}
}

func BenchmarkCounts(b *testing.B) {
	l := crowded()
	b.ReportAllocs()
	for b.Loop() {
		if c := l.Counts(); c.InUse != 112 {
			b.Fatal(c)
		}
	}
}

func BenchmarkRemaining(b *testing.B) {
	c := crowded().Counts()
	b.ReportAllocs()
	for b.Loop() {
		if c.Remaining(10) != 112 {
			b.Fatal(c)
		}
	}
}

// BenchmarkPlan has pods waiting and slots open.
func BenchmarkPlan(b *testing.B) {
	l := crowded()
	l.SetSlots(28)
	for i := range 200 {
		l.Wait(types.UID(fmt.Sprint("waiting-", i)))
	}
	b.ReportAllocs()
	for b.Loop() {
		if call, ok := l.Plan(20, 100); !ok || call.Count != 6 {
			b.Fatal(call)
		}
	}
}

// BenchmarkAdvance has thirty addresses cooling, of which one becomes free.
func BenchmarkAdvance(b *testing.B) {
	l, now := crowded(), epoch
	for i := range 30 {
		l.End(types.UID(fmt.Sprint("pod-", i)), now.Add(time.Duration(i)*time.Second))
	}
	now = now.Add(Cooldown)
	b.ReportAllocs()
	for b.Loop() {
		l.Advance(now)
		now = now.Add(time.Second)
		l.Quarantine(netip.AddrFrom4([4]byte{10, 0, 0, 1}), now)
	}
}

// BenchmarkSync compares with a describe that shows nothing new.
func BenchmarkSync(b *testing.B) {
	l := crowded()
	var observed []netip.Prefix
	for _, x := range l.blocks {
		observed = append(observed, x.prefix)
	}
	b.ReportAllocs()
	for b.Loop() {
		if d := l.Sync(observed, epoch, epoch); !d.None() {
			b.Fatal(d)
		}
	}
}
