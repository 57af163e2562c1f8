package node

import (
	"net/netip"

	"slotwise.dev/slotwise/allocator/budget"
	"slotwise.dev/slotwise/allocator/ledger"
)

// claims are the blocks of the subnet that a node has set aside. The zero value has none.
type claims struct {
	own      claim // for what is to come
	inFlight claim // for the assign in flight, or whose outcome is in doubt
}

// claim is a number of blocks set aside in the subnet's budget.
type claim struct {
	kind  ledger.Kind
	count int
}

// settle has need blocks of a kind set aside for what is to come, or as many as the
// subnet can give.
func (c *claims) settle(b *budget.Budget, k ledger.Kind, need int) {
	if c.own.kind != k {
		c.giveUp(b)
		c.own.kind = k
	}
	if need > c.own.count {
		c.own.count += b.Claim(k, need-c.own.count)
	} else {
		b.Unclaim(k, c.own.count-need)
		c.own.count = need
	}
}

// giveUp gives back what is set aside for what is to come.
func (c *claims) giveUp(b *budget.Budget) {
	b.Unclaim(c.own.kind, c.own.count)
	c.own.count = 0
}

// begin sets aside what a call is about to take, and says how many blocks it may.
func (c *claims) begin(b *budget.Budget, k ledger.Kind, count int) int {
	owned := min(count, c.own.count)
	count = owned + b.Claim(k, count-owned)
	c.own.count -= owned
	c.inFlight = claim{k, count}
	return count
}

// beginNamed is begin for blocks that are asked for by name, and says whether they may be. They
// come before what is set aside for what is to come.
func (c *claims) beginNamed(b *budget.Budget, k ledger.Kind, count int) bool {
	if c.own.kind == k {
		c.giveUp(b)
	}
	if !b.ClaimNamed(k, count) {
		return false
	}
	c.inFlight = claim{k, count}
	return true
}

// ofKind is how many blocks of a kind are set aside for what is to come.
func (c *claims) ofKind(k ledger.Kind) int {
	if c.own.kind != k {
		return 0
	}
	return c.own.count
}

// took turns what was set aside for a call into the blocks that it brought.
func (c *claims) took(b *budget.Budget, eni string, named bool, blocks []netip.Prefix) {
	took := b.Took
	if named {
		took = b.TookNamed
	}
	took(eni, c.inFlight.kind, c.inFlight.count, blocks)
	c.inFlight = claim{}
}

// release gives back what was set aside for a call that was not done.
func (c *claims) release(b *budget.Budget) {
	b.Unclaim(c.inFlight.kind, c.inFlight.count)
	c.inFlight = claim{}
}
