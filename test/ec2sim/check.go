package ec2sim

import (
	"fmt"
	"net/netip"
	"slices"
)

// allocation is one range that an interface holds.
type allocation struct {
	what netip.Prefix
	eni  *networkInterface
}

// Check verifies the model from what the interfaces hold, without the books
// that assignment goes by, and then those books against it. It returns the
// first contradiction that it finds.
func (s *Server) Check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := map[*subnet][]allocation{}
	for _, eni := range s.model.interfaces {
		slots := eni.slots.now()
		if slots.deleted {
			continue
		}
		if err := eni.check(); err != nil {
			return err
		}
		for _, r := range append(slots.ranges(), hostPrefix(eni.primary)) {
			held[eni.subnet] = append(held[eni.subnet], allocation{r, eni})
		}
	}
	for _, subnet := range s.model.subnets {
		if err := subnet.check(held[subnet]); err != nil {
			return fmt.Errorf("subnet %s: %w", subnet.id, err)
		}
	}
	return nil
}

// check looks at an interface alone: its limit, and where its ranges lie.
func (eni *networkInterface) check() error {
	slots := eni.slots.now()
	if used := 1 + slots.count(); eni.limit() > 0 && used > eni.limit() {
		return fmt.Errorf("interface %s has %d addresses and prefixes, more than its %d", eni.id, used, eni.limit())
	}
	for _, p := range slots.Prefixes {
		if p.Bits() != 28 || p.Addr().As4()[3]%16 != 0 {
			return fmt.Errorf("interface %s: %s is no aligned /28", eni.id, p)
		}
		if eni.instance != nil && eni.instance.kind.Hypervisor != Nitro {
			return fmt.Errorf("interface %s: prefix %s on a %s instance", eni.id, p, eni.instance.kind.Hypervisor)
		}
	}
	return nil
}

// check looks at all that is held in a subnet together.
func (s *subnet) check(held []allocation) error {
	slices.SortFunc(held, func(a, b allocation) int { return a.what.Addr().Compare(b.what.Addr()) })
	for i, a := range held {
		if i > 0 && held[i-1].what.Overlaps(a.what) {
			return fmt.Errorf("%s of %s overlaps %s of %s", a.what, a.eni.id, held[i-1].what, held[i-1].eni.id)
		}
		if err := s.checkPlace(a.what); err != nil {
			return fmt.Errorf("%s of %s %w", a.what, a.eni.id, err)
		}
	}
	return s.checkBooks(held)
}

// checkBooks compares the books with what is held.
func (s *subnet) checkBooks(held []allocation) error {
	total := 0
	for _, a := range held {
		for _, c := range s.space.at(a.what) {
			if c.holder != a.eni.id {
				return fmt.Errorf("%s of %s is booked for %q", a.what, a.eni.id, c.holder)
			}
			total++
		}
	}
	booked, available := 0, 0
	for _, c := range s.space.cells {
		if c.holder != "" {
			booked++
		} else if c.use == forAnything {
			available++
		}
	}
	if booked != total {
		return fmt.Errorf("%d addresses are held, %d are booked", total, booked)
	}
	if shown := s.available.now(); available != s.space.available || available != shown {
		return fmt.Errorf("%d addresses are available, %d are counted, %d are shown", available, s.space.available, shown)
	}
	return nil
}

// checkPlace refuses what is outside the subnet or touches one of the five
// addresses that Amazon keeps: the first four and the last.
func (s *subnet) checkPlace(p netip.Prefix) error {
	cidr := s.space.cidr
	if p.Bits() < cidr.Bits() || !cidr.Contains(p.Addr()) {
		return fmt.Errorf("is outside %s", cidr)
	}
	kept := cidr.Addr()
	for range 4 {
		if p.Contains(kept) {
			return fmt.Errorf("contains the reserved address %s", kept)
		}
		kept = kept.Next()
	}
	if last := s.space.addr(1<<(32-cidr.Bits()) - 1); p.Contains(last) {
		return fmt.Errorf("contains the reserved address %s", last)
	}
	return nil
}
