package ledger

import "k8s.io/apimachinery/pkg/types"

// Counts sums up a ledger. It is a value: a filter of thousands of nodes reads one per
// node and computes nothing twice.
type Counts struct {
	Mode         Kind
	Slots        int // usable slots of the ENI
	SecondaryIPs int // slots with a secondary IP, leaving ones included
	Prefixes     int // slots with a prefix, leaving ones included
	Open         int // slots that are empty, and that no call in flight or in doubt may fill
	Arriving     int // blocks that an assign in flight brings
	InUse        int // pods that hold an address
	Free         int // addresses of the mode's kind that can be given now
	Cooling      int // addresses in cooldown
	Away         int // addresses in cooldown that are not on the ENI: nobody gets those
	Waiting      int // pods that need an address and have none
	Occupied     int // blocks of the mode's kind with an address held or cooling
	InUseOfMode  int // addresses of the mode's kind that are held
}

// Counts sums the ledger up as it stands.
func (l *Ledger) Counts() Counts {
	c := Counts{Mode: l.mode, Slots: l.slots, Waiting: len(l.waiting), InUse: len(l.holders), Away: len(l.away)}
	for _, b := range l.blocks {
		if b.kind() == Prefix {
			c.Prefixes++
		} else {
			c.SecondaryIPs++
		}
		c.Cooling += b.cooling
		if b.kind() != l.mode || b.leaving {
			continue
		}
		c.InUseOfMode += b.held
		c.Free += b.free()
		if b.held+b.cooling > 0 {
			c.Occupied++
		}
	}
	c.Open = max(0, l.slots-len(l.blocks))
	if l.pending != nil && l.pending.Assign() {
		c.Open = max(0, c.Open-l.pending.Count)
		if l.InFlight() && l.pending.Kind == l.mode {
			c.Arriving = l.pending.Count
		}
	}
	return c
}

// Blocks is how many blocks of the mode's kind the ENI has.
func (c Counts) Blocks() int {
	if c.Mode == Prefix {
		return c.Prefixes
	}
	return c.SecondaryIPs
}

// Need is how many blocks the waiting pods need beyond what is free or on its way,
// whether or not the ENI has slots for them.
func (c Counts) Need() int {
	return c.Mode.BlocksFor(max(0, c.Waiting-c.Free-c.Arriving*c.Mode.Addresses()))
}

// Remaining is the true remaining capacity in pods: what is free, what is on its way and
// what the empty slots can still take, less the pods that wait. room is how many blocks
// the subnet can still give to this ENI.
func (c Counts) Remaining(room int) int {
	return c.Free + c.Mode.Addresses()*(c.Arriving+max(0, min(c.Open, room))) - c.Waiting
}

// After is what the ledger will count once the given pods have ended, all that cools has
// cooled down, and the blocks that go are gone; returned is how many blocks of the
// mode's kind the subnet gets back with that.
func (l *Ledger) After(victims []types.UID) (c Counts, returned int) {
	c = l.Counts()
	c.Cooling = 0
	for _, b := range l.blocks {
		freed := b.heldBy(victims)
		c.InUse -= freed
		switch {
		case b.kind() == l.mode && !b.leaving:
			c.Free += freed + b.cooling
		case freed == b.held: // it goes, or is going already
			c.Open++
			returned += b.kind().Addresses() / l.mode.Addresses()
		}
	}
	return c, returned
}
