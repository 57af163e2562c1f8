package ledger

import (
	"maps"
	"net/netip"
	"time"
)

// cooldowns is when addresses have cooled down. Those on the ENI are marked in their
// block; those off the ENI are here.
type cooldowns struct {
	away map[netip.Addr]cooldown // addresses that cool, off the ENI
	due  time.Time               // when Advance has something to do; zero: nothing cools that EC2 has confirmed
}

// cooldown is that of one address.
type cooldown struct {
	ended time.Time // when its pod ended; zero: it was given to none
	free  time.Time
}

// NextFree is when Advance has something to do; zero when it has nothing, until a pod
// ends or EC2 is looked at.
func (c *cooldowns) NextFree() time.Time { return c.due }

// dueAt has Advance do something at a time.
func (c *cooldowns) dueAt(t time.Time) {
	if c.due.IsZero() || t.Before(c.due) {
		c.due = t
	}
}

// cool makes an address of a block, which nobody holds, free from the given time on.
func (c *cooldowns) cool(b *block, x *address, now, free time.Time) {
	x.free = free
	if !free.After(now) {
		return
	}
	b.startCooldown(x)
	c.dueAt(free)
}

// coolAway has an address cool that is not on the ENI.
func (c *cooldowns) coolAway(a netip.Addr, x cooldown) {
	c.away[a] = x
	c.dueAt(x.free)
}

// advanceAway forgets what has cooled off the ENI.
func (c *cooldowns) advanceAway(now time.Time) {
	maps.DeleteFunc(c.away, func(_ netip.Addr, x cooldown) bool { return !x.free.After(now) })
	for _, x := range c.away {
		c.dueAt(x.free)
	}
}
