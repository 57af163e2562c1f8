package ledger

import (
	"net/netip"
	"time"
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

// Cooldown is how long an address is given to nobody after its pod has ended, so that
// connections and conntrack entries of the old pod die before a new pod has the address.
// AWS's controller uses the same 30 s.
const Cooldown = 30 * time.Second

// Settle is how long a describe of EC2 may lag behind a change. Within it, an answer
// that contradicts what EC2 has confirmed is taken as old.
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

func other(k Kind) Kind { return Prefix - k }

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
