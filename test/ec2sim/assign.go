package ec2sim

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Request is what AssignPrivateIpAddresses is asked for. Of each kind either a
// number is given, and EC2 chooses, or a list.
type Request struct {
	AddressCount int `json:"addressCount,omitempty"`
	PrefixCount  int `json:"prefixCount,omitempty"`
	Slots
}

// assign gives an interface what r asks for, all or nothing.
func (m *model) assign(id string, r Request, call int) (Slots, error) {
	eni, err := m.networkInterface(id)
	if err != nil {
		return Slots{}, err
	}
	got, err := eni.choose(r, m.reuse)
	if err != nil {
		return Slots{}, err
	}
	held := eni.slots.now().Slots
	eni.slots.set(time.Now(), holding{Slots: Slots{
		Addresses: slices.Concat(held.Addresses, got.Addresses),
		Prefixes:  slices.Concat(held.Prefixes, got.Prefixes),
	}})
	m.claim(eni, got.ranges(), call)
	return got, nil
}

// choose finds what r asks for without taking it.
func (eni *networkInterface) choose(r Request, order Reuse) (Slots, error) {
	if err := eni.admit(r); err != nil {
		return Slots{}, err
	}
	space := eni.subnet.space
	blocks := space.freeBlocks(r.PrefixCount, order, r.ranges())
	if len(blocks) < r.PrefixCount {
		return Slots{}, errNoBlock
	}
	got := Slots{Addresses: r.Addresses, Prefixes: slices.Concat(r.Prefixes, blocks)}
	addrs := space.freeAddresses(r.AddressCount, order, got.ranges())
	if len(addrs) < r.AddressCount {
		return Slots{}, errNoAddress
	}
	got.Addresses = slices.Concat(r.Addresses, addrs)
	return got, nil
}

// admit checks what does not depend on how much room there is.
func (eni *networkInterface) admit(r Request) error {
	switch asked := r.AddressCount + r.PrefixCount + r.count(); {
	case r.AddressCount < 0 || r.PrefixCount < 0:
		return refuse(CodeInvalidValue, "a count must not be negative")
	case r.AddressCount > 0 && len(r.Addresses) > 0, r.PrefixCount > 0 && len(r.Prefixes) > 0:
		return refuse(CodeInvalidCombination, "a count and a list of the same kind exclude each other")
	case asked == 0:
		return refuse(CodeMissingParameter, "The request must contain addresses or prefixes, or a count of them")
	case r.PrefixCount+len(r.Prefixes) > 0 && eni.instance != nil && eni.instance.kind.Hypervisor != Nitro:
		return refuse(CodeUnsupported, "The instance type %s does not support prefixes", eni.instance.kind.Name)
	case eni.limit() > 0 && 1+eni.slots.now().count()+asked > eni.limit():
		return refuse(CodeLimitExceeded, "Number of private addresses will exceed limit.")
	}
	return eni.admitNamed(r.Slots)
}

func (eni *networkInterface) admitNamed(named Slots) error {
	for _, p := range named.Prefixes {
		if p.Bits() != prefixBits || p != p.Masked() {
			return refuse(CodeInvalidValue, "%s is no /28 on a boundary of 16 addresses", p)
		}
	}
	var taken []string
	for i, p := range named.ranges() {
		if overlapsAny(p, named.ranges()[:i]) {
			return refuse(CodeInvalidValue, "%s is asked for twice", p)
		}
		switch {
		case eni.subnet.space.assignable(p):
		case eni.subnet.space.held(p) && p.IsSingleIP():
			taken = append(taken, p.Addr().String())
		default:
			return refuse(CodeInvalidValue, "%s is in use, reserved, or not in subnet %s", p, eni.subnet.id)
		}
	}
	if len(taken) > 0 {
		return refuse(CodeInvalidValue, "[%s] assigned, but move is not allowed.", strings.Join(taken, ", "))
	}
	return nil
}

// unassign takes slots from an interface, all or nothing, in use or not: EC2
// does not know what is in use.
func (m *model) unassign(id string, gone Slots, call int) error {
	eni, err := m.networkInterface(id)
	if err != nil {
		return err
	}
	if gone.count() == 0 {
		return refuse(CodeMissingParameter, "The request must contain addresses or prefixes")
	}
	held := eni.slots.now().Slots
	left := Slots{
		Addresses: without(held.Addresses, gone.Addresses),
		Prefixes:  without(held.Prefixes, gone.Prefixes),
	}
	if left.count() != held.count()-gone.count() {
		return refuse(CodeInvalidValue, "Some of %v are not assigned to interface %s", gone.ranges(), id)
	}
	eni.slots.set(time.Now(), holding{Slots: left})
	m.release(eni, gone.ranges(), call)
	return nil
}

func without[T netip.Addr | netip.Prefix](all, gone []T) []T {
	return slices.DeleteFunc(slices.Clone(all), func(x T) bool { return slices.Contains(gone, x) })
}
