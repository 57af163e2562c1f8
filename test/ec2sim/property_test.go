package ec2sim_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"slotwise.dev/slotwise/test/ec2sim"
)

// history is a random history of one small subnet. It knows the rules of
// assignment in another way than the simulator does: it asks what there is and
// works out by brute force what must be answered.
type history struct {
	sim     *ec2sim.Server
	subnet  netip.Prefix
	aside   map[netip.Prefix]ec2sim.ReservationKind
	ids     map[netip.Prefix]string // of the reservations
	running []string
	begun   int
}

// TestAnyHistory plays random histories. After every step the model is sound,
// every refusal is justified, and a refusal changed nothing.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.SampledFrom([]ec2sim.Reuse{ec2sim.LowestFirst, ec2sim.LongestFreeFirst}).Draw(t, "order")
		h := &history{
			sim:    ec2sim.New(ec2sim.Options{Reuse: order}),
			subnet: netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), rapid.IntRange(25, 28).Draw(t, "bits")),
			aside:  map[netip.Prefix]ec2sim.ReservationKind{},
			ids:    map[netip.Prefix]string{},
		}
		if err := h.sim.AddSubnet("s", "z", h.subnet); err != nil {
			t.Fatal(err)
		}
		t.Repeat(map[string]func(*rapid.T){
			"":          h.check,
			"run":       h.run,
			"terminate": h.terminate,
			"assign":    h.assign,
			"name":      h.assignNamed,
			"unassign":  h.unassign,
			"reserve":   h.reserve,
			"unreserve": h.unreserve,
		})
	})
}

func (h *history) check(t *rapid.T) {
	if err := h.sim.Check(); err != nil {
		t.Fatal(err)
	}
}

func (h *history) run(t *rapid.T) {
	h.begun++
	i := ec2sim.Instance{
		ID:     fmt.Sprintf("i-%d", h.begun),
		Type:   rapid.SampledFrom([]string{"t3.small", "c5.large", "m4.large"}).Draw(t, "type"),
		Subnet: "s",
	}
	room := len(h.free(""))
	_, err := h.sim.AddInstance(i)
	if (err == nil) != (room > 0) {
		t.Fatalf("with %d addresses free: %v", room, err)
	}
	if err == nil {
		h.running = append(h.running, i.ID)
	}
}

func (h *history) terminate(t *rapid.T) {
	id := h.instance(t)
	if err := h.sim.Terminate(id); err != nil {
		t.Fatal(err)
	}
	h.running = slices.DeleteFunc(h.running, func(other string) bool { return other == id })
}

// assign asks for numbers of addresses and prefixes.
func (h *history) assign(t *rapid.T) {
	before := h.drawInterface(t)
	r := ec2sim.Request{
		AddressCount: rapid.IntRange(0, 10).Draw(t, "addresses"),
		PrefixCount:  rapid.IntRange(0, 5).Draw(t, "prefixes"),
	}
	reservedBlocks, openBlocks := h.freeBlocks(ec2sim.ReservedForPrefixes), h.freeBlocks("")
	addresses := len(h.free(""))

	got, err := h.sim.Assign(before.ID, r)
	// What an answer must be. The single addresses come out of what the
	// prefixes leave of the open space.
	fromOpen := max(0, r.PrefixCount-len(reservedBlocks))
	want := ""
	switch {
	case r.AddressCount+r.PrefixCount == 0:
		want = ec2sim.CodeMissingParameter
	case r.PrefixCount > 0 && before.Type == "m4.large":
		want = ec2sim.CodeUnsupported
	case 1+used(before)+r.AddressCount+r.PrefixCount > before.Limit:
		want = ec2sim.CodeLimitExceeded
	case fromOpen > len(openBlocks):
		want = ec2sim.CodeInsufficientBlocks
	case r.AddressCount > addresses-16*fromOpen:
		want = ec2sim.CodeInsufficientAddresses
	}
	if code := codeOfMethod(err); code != want {
		t.Fatalf("%+v of %+v: %v, want %q", r, before, err, want)
	}
	h.expect(t, before, got)
	if err != nil {
		return
	}
	if len(got.Addresses) != r.AddressCount || len(got.Prefixes) != r.PrefixCount {
		t.Fatalf("%+v brought %+v", r, got)
	}
	for i, p := range got.Prefixes {
		if first := i < len(reservedBlocks); first != slices.Contains(reservedBlocks, p) {
			t.Fatalf("prefix %d of %v, where reserved are %v", i, got.Prefixes, reservedBlocks)
		}
	}
	for _, a := range got.Addresses {
		if kind := h.kindOf(a); kind != "" {
			t.Fatalf("%s came out of a reservation of type %s", a, kind)
		}
	}
}

// assignNamed asks for one address or block by name.
func (h *history) assignNamed(t *rapid.T) {
	before := h.drawInterface(t)
	offset := rapid.IntRange(0, 127).Draw(t, "address")
	addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(offset)})
	named := netip.PrefixFrom(addr, 32)
	r := ec2sim.Request{Slots: ec2sim.Slots{Addresses: []netip.Addr{addr}}}
	if rapid.Bool().Draw(t, "as a block") {
		named = netip.PrefixFrom(addr, 28).Masked()
		r.Slots = ec2sim.Slots{Prefixes: []netip.Prefix{named}}
	}
	free := h.isFree(named)
	got, err := h.sim.Assign(before.ID, r)
	want := ""
	switch {
	case named.Bits() == 28 && before.Type == "m4.large":
		want = ec2sim.CodeUnsupported
	case 1+used(before) >= before.Limit:
		want = ec2sim.CodeLimitExceeded
	case !free:
		want = ec2sim.CodeInvalidValue
	}
	if code := codeOfMethod(err); code != want {
		t.Fatalf("%s for %+v: %v, want %q", named, before, err, want)
	}
	h.expect(t, before, got)
}

// unassign takes some of an interface's slots, and at times one that is not
// there.
func (h *history) unassign(t *rapid.T) {
	before := h.drawInterface(t)
	gone := ec2sim.Slots{
		Addresses: some(t, "addresses", before.Addresses),
		Prefixes:  some(t, "prefixes", before.Prefixes),
	}
	want := ""
	if rapid.IntRange(0, 4).Draw(t, "stray") == 0 {
		gone.Addresses = append(gone.Addresses, before.Primary)
		want = ec2sim.CodeInvalidValue
	} else if len(gone.Addresses)+len(gone.Prefixes) == 0 {
		want = ec2sim.CodeMissingParameter
	}
	err := h.sim.Unassign(before.ID, gone)
	if code := codeOfMethod(err); code != want {
		t.Fatalf("%+v of %+v: %v, want %q", gone, before, err, want)
	}
	after, _ := h.sim.Interface(before.ID)
	if want == "" {
		before.Addresses = slices.DeleteFunc(before.Addresses, func(a netip.Addr) bool { return slices.Contains(gone.Addresses, a) })
		before.Prefixes = slices.DeleteFunc(before.Prefixes, func(p netip.Prefix) bool { return slices.Contains(gone.Prefixes, p) })
	}
	if diff := cmp.Diff(before.Slots, after.Slots, compareSlots); diff != "" {
		t.Fatalf("left (-want +got):\n%s", diff)
	}
}

func (h *history) reserve(t *rapid.T) {
	block := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 127).Draw(t, "at"))}),
		rapid.IntRange(26, 30).Draw(t, "bits")).Masked()
	kind := rapid.SampledFrom([]ec2sim.ReservationKind{ec2sim.ReservedForPrefixes, ec2sim.ReservedExplicit}).Draw(t, "kind")
	fits := block.Bits() >= h.subnet.Bits() && h.subnet.Contains(block.Addr())
	for other := range h.aside {
		fits = fits && !other.Overlaps(block)
	}
	id, err := h.sim.AddReservation("s", block, kind)
	if (err == nil) != fits {
		t.Fatalf("reservation %s: %v, want one: %t", block, err, fits)
	}
	if fits {
		h.aside[block], h.ids[block] = kind, id
	}
}

func (h *history) unreserve(t *rapid.T) {
	if len(h.aside) == 0 {
		t.Skip("no reservation")
	}
	blocks := slices.SortedFunc(maps.Keys(h.aside), netip.Prefix.Compare)
	block := rapid.SampledFrom(blocks).Draw(t, "reservation")
	if err := h.sim.RemoveReservation(h.ids[block]); err != nil {
		t.Fatal(err)
	}
	delete(h.aside, block)
}

// expect checks that an interface has what it had and what it got.
func (h *history) expect(t *rapid.T, before ec2sim.Interface, got ec2sim.Slots) {
	want := ec2sim.Slots{
		Addresses: slices.Concat(before.Addresses, got.Addresses),
		Prefixes:  slices.Concat(before.Prefixes, got.Prefixes),
	}
	after, _ := h.sim.Interface(before.ID)
	if diff := cmp.Diff(want, after.Slots, compareSlots); diff != "" {
		t.Fatalf("interface (-want +got):\n%s", diff)
	}
}

func (h *history) instance(t *rapid.T) string {
	if len(h.running) == 0 {
		t.Skip("nothing runs")
	}
	return rapid.SampledFrom(h.running).Draw(t, "instance")
}

func (h *history) drawInterface(t *rapid.T) ec2sim.Interface {
	id := h.instance(t)
	all := h.sim.Interfaces()
	return all[slices.IndexFunc(all, func(i ec2sim.Interface) bool { return i.Instance == id })]
}

// free lists the free addresses that are set aside for kind, or for nothing.
func (h *history) free(kind ec2sim.ReservationKind) []netip.Addr {
	var free []netip.Addr
	for a := h.subnet.Addr(); h.subnet.Contains(a); a = a.Next() {
		if h.isFree(netip.PrefixFrom(a, 32)) && h.kindOf(a) == kind {
			free = append(free, a)
		}
	}
	return free
}

// freeBlocks lists the free /28 blocks all of whose addresses are set aside
// for kind, or for nothing.
func (h *history) freeBlocks(kind ec2sim.ReservationKind) []netip.Prefix {
	inBlock := map[netip.Prefix]int{}
	for _, a := range h.free(kind) {
		inBlock[netip.PrefixFrom(a, 28).Masked()]++
	}
	maps.DeleteFunc(inBlock, func(_ netip.Prefix, n int) bool { return n < 16 })
	return slices.Collect(maps.Keys(inBlock))
}

func (h *history) kindOf(a netip.Addr) ec2sim.ReservationKind {
	for block, kind := range h.aside {
		if block.Contains(a) {
			return kind
		}
	}
	return ""
}

// isFree says whether p lies in the subnet, off the five reserved addresses,
// and no interface holds any of it.
func (h *history) isFree(p netip.Prefix) bool {
	size := byte(1 << (32 - h.subnet.Bits()))
	for _, last := range []byte{0, 1, 2, 3, size - 1} {
		if p.Contains(netip.AddrFrom4([4]byte{10, 0, 0, last})) {
			return false
		}
	}
	for _, i := range h.sim.Interfaces() {
		held := slices.Clone(i.Prefixes)
		for _, a := range append(i.Addresses, i.Primary) {
			held = append(held, netip.PrefixFrom(a, 32))
		}
		if slices.ContainsFunc(held, p.Overlaps) {
			return false
		}
	}
	return h.subnet.Contains(p.Addr())
}

func used(i ec2sim.Interface) int { return len(i.Addresses) + len(i.Prefixes) }

// some draws a few of all.
func some[T any](t *rapid.T, label string, all []T) []T {
	var drawn []T
	for i, x := range all {
		if rapid.Bool().Draw(t, fmt.Sprint(label, i)) {
			drawn = append(drawn, x)
		}
	}
	return drawn
}
