package cloud

import (
	"sync/atomic"

	"slotwise.dev/slotwise/allocator/ledger"
)

// Urgency is what a caller of Admit would use its turn for. The caller keeps it up to
// date while it waits, from any goroutine: something more urgent may come up meanwhile.
// The zero value is the most urgent purpose, ledger.Restoring.
type Urgency struct{ purpose atomic.Uint32 }

// Set notes what the turn would be used for now.
func (u *Urgency) Set(p ledger.Purpose) { u.purpose.Store(uint32(p)) }

// Get is what was set last.
func (u *Urgency) Get() ledger.Purpose { return ledger.Purpose(u.purpose.Load()) }

// forRead is the urgency of all reads: first come, first served.
func forRead() *Urgency {
	u := &Urgency{}
	u.Set(ledger.Waiting)
	return u
}
