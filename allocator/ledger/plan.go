package ledger

import (
	"net/netip"
	"slices"
)

// Plan says which EC2 call to make next, if any.
//
// want is how many blocks of the mode's kind the warm pool asks the ENI to have, with
// what pods hold included; room is how many more the subnet can give to this node. Pods
// that wait come first, then slots are cleared of the other mode's idle blocks, then the
// pool is warmed, then surplus is given back. While a call is in flight or in doubt
// nothing is planned: one mutating call at a time on an ENI.
func (l *Ledger) Plan(want, room int) (Call, bool) {
	if l.pending != nil {
		return Call{}, false
	}
	c := l.Counts()
	obtainable := max(0, min(c.Open, room))
	missing := want - c.Blocks()
	if need := c.Need(); need > 0 && obtainable > 0 {
		return Call{Kind: l.mode, Count: min(max(need, missing), obtainable), Purpose: Waiting}, true
	}
	if idle := l.idle(other(l.mode)); len(idle) > 0 {
		purpose := Release
		if c.Need() > 0 {
			purpose = Waiting
		}
		return Call{Kind: other(l.mode), Blocks: idle, Purpose: purpose}, true
	}
	if missing > 0 && obtainable > 0 {
		return Call{Kind: l.mode, Count: min(missing, obtainable), Purpose: Warming}, true
	}
	if idle := l.idle(l.mode); missing < 0 && len(idle) > 0 && c.Waiting == 0 {
		return Call{Kind: l.mode, Blocks: idle[:min(len(idle), -missing)], Purpose: Release}, true
	}
	return Call{}, false
}

// PlanRestore says which call brings blocks back that live pods have their address out
// of, as far as there are slots for them: one kind at a time.
func (l *Ledger) PlanRestore(blocks []netip.Prefix) (Call, bool) {
	open := l.Counts().Open
	if l.pending != nil || open == 0 || len(blocks) == 0 {
		return Call{}, false
	}
	kind := KindOf(blocks[0])
	blocks = slices.DeleteFunc(slices.Clone(blocks), func(b netip.Prefix) bool { return KindOf(b) != kind })
	blocks = blocks[:min(len(blocks), open)]
	return Call{Kind: kind, Count: len(blocks), Names: blocks, Purpose: Restoring}, true
}
