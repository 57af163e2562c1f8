package ledger

import (
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// block is one occupied slot.
type block struct {
	prefix       netip.Prefix
	addresses    []address
	held         int       // addresses with a holder
	cooling      int       // addresses that may not be given yet
	leaving      bool      // an unassign is in flight, or its outcome is unknown
	since        time.Time // when EC2 was known to have it
	shown        time.Time // as of when EC2 has shown it last
	suspectUntil time.Time // until then pods that another client gave its addresses to may use them
}

// address is one address of a block: held, cooling or free.
type address struct {
	holder  types.UID // empty: nobody
	cooling bool
	free    time.Time // when it became, or will become, free
	ended   time.Time // when its last pod ended, or may have ended; zero: it is known to have had none
}

func newBlock(p netip.Prefix, since time.Time) *block {
	b := &block{prefix: p, since: since, shown: since, addresses: make([]address, KindOf(p).Addresses())}
	for i := range b.addresses {
		b.addresses[i].free = since
	}
	return b
}

func (b *block) kind() Kind { return KindOf(b.prefix) }

func (b *block) free() int { return len(b.addresses) - b.held - b.cooling }

// idle says that no address of the block is held or cooling: it may be unassigned.
func (b *block) idle() bool { return !b.leaving && b.held == 0 && b.cooling == 0 }

// idleSince is when the last of its addresses became free.
func (b *block) idleSince() time.Time {
	var t time.Time
	for _, x := range b.addresses {
		if x.free.After(t) {
			t = x.free
		}
	}
	return t
}

// confirms says that EC2 has shown the block since the last pod of one of its addresses
// ended (I10). A describe may show the past, by Settle.
func (b *block) confirms(x *address) bool {
	return x.ended.IsZero() || !b.shown.Before(x.ended.Add(Settle))
}

// newerThan says that a describe as of a time may not show the block yet.
func (b *block) newerThan(asOf time.Time) bool { return !asOf.After(b.since.Add(Settle)) }

// hold gives an address to a pod, whether or not it cools; one that has a holder keeps it.
func (b *block) hold(x *address, pod types.UID) {
	if x.holder != "" {
		return
	}
	b.endCooldown(x)
	x.holder = pod
	b.held++
}

// letGo takes an address from its holder.
func (b *block) letGo(x *address) {
	x.holder = ""
	b.held--
}

func (b *block) startCooldown(x *address) {
	if !x.cooling {
		x.cooling = true
		b.cooling++
	}
}

func (b *block) endCooldown(x *address) {
	if x.cooling {
		x.cooling = false
		b.cooling--
	}
}

// longestFree is the index of the address that has been free longest, or -1.
func (b *block) longestFree() int {
	best := -1
	for i, x := range b.addresses {
		if x.holder != "" || x.cooling {
			continue
		}
		if best < 0 || x.free.Before(b.addresses[best].free) {
			best = i
		}
	}
	return best
}

// heldBy counts the addresses of the block that the given pods hold.
func (b *block) heldBy(pods []types.UID) (n int) {
	if len(pods) == 0 || b.held == 0 {
		return 0
	}
	for _, x := range b.addresses {
		if x.holder != "" && slices.Contains(pods, x.holder) {
			n++
		}
	}
	return n
}

// address finds the record of an address that lies in the block.
func (b *block) address(a netip.Addr) *address {
	return &b.addresses[int(a.As4()[3])-int(b.prefix.Addr().As4()[3])]
}

// at is the address with the given index.
func (b *block) at(i int) netip.Addr {
	four := b.prefix.Addr().As4()
	four[3] += byte(i)
	return netip.AddrFrom4(four)
}
