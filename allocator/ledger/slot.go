package ledger

import (
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Kind is what occupies a slot of an ENI.
type Kind uint8

const (
	// SecondaryIP is one address, written as a /32.
	SecondaryIP Kind = iota
	// Prefix is sixteen addresses, a /28 on a 16-aligned boundary.
	Prefix
)

// PrefixBits is the length of a delegated prefix. EC2 hands out no other.
const PrefixBits = 28

// Cooldown is how long an address rests after its pod has ended, so that
// connections and conntrack entries of the old pod die before a new pod has
// the address. AWS's controller uses the same 30 s.
const Cooldown = 30 * time.Second

// Settle is how long a describe of EC2 may lag behind a change. Within it, an
// answer that contradicts what EC2 has confirmed is taken as old.
const Settle = 10 * time.Second

// Addresses is how many addresses a slot of this kind holds.
func (k Kind) Addresses() int {
	if k == Prefix {
		return 1 << (32 - PrefixBits)
	}
	return 1
}

// BlocksFor is how many blocks of this kind so many addresses take.
func (k Kind) BlocksFor(addresses int) int {
	per := k.Addresses()
	return (addresses + per - 1) / per
}

func (k Kind) String() string {
	if k == Prefix {
		return "prefix"
	}
	return "secondary-ip"
}

// KindOf tells a secondary IP (/32) from a prefix (/28).
func KindOf(b netip.Prefix) Kind {
	if b.Bits() == PrefixBits {
		return Prefix
	}
	return SecondaryIP
}

// BlockOf is the block of the given kind that an address belongs to.
func BlockOf(a netip.Addr, k Kind) netip.Prefix {
	bits := 32
	if k == Prefix {
		bits = PrefixBits
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// block is one occupied slot.
type block struct {
	prefix    netip.Prefix
	addresses []address
	held      int       // addresses with a holder
	cooling   int       // addresses that may not be given yet
	leaving   bool      // an unassign is in flight, or its outcome is unknown
	since     time.Time // when EC2 was known to have it
	shown     time.Time // as of when EC2 has shown it last
	suspect   time.Time // until when another hand's pods may still use it
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

// idle says that no address of the block is held or cooling: it may be
// unassigned.
func (b *block) idle() bool { return !b.leaving && b.held == 0 && b.cooling == 0 }

// confirms says that EC2 has shown the block since the last pod of one of its
// addresses ended (I10). A describe may show the past, by Settle.
func (b *block) confirms(x *address) bool {
	return x.ended.IsZero() || !b.shown.Before(x.ended.Add(Settle))
}

// idleSince is when the last of its addresses became free.
func (b *block) idleSince() time.Time {
	var t time.Time
	for _, a := range b.addresses {
		if a.free.After(t) {
			t = a.free
		}
	}
	return t
}

// address finds the record of an address that lies in the block.
func (b *block) address(a netip.Addr) *address {
	return &b.addresses[int(a.As4()[3])-int(b.prefix.Addr().As4()[3])]
}

// longestFree is the index of the address that has been free longest, or -1.
func (b *block) longestFree() int {
	best := -1
	for i, a := range b.addresses {
		if a.holder != "" || a.cooling {
			continue
		}
		if best < 0 || a.free.Before(b.addresses[best].free) {
			best = i
		}
	}
	return best
}

// at is the address with the given index.
func (b *block) at(i int) netip.Addr {
	four := b.prefix.Addr().As4()
	four[3] += byte(i)
	return netip.AddrFrom4(four)
}
