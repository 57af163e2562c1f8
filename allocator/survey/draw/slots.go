package draw

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/survey"
)

// Measures of a slot, in pixels. A page that shows what is under the pointer knows them,
// too.
const (
	SlotsPerLine = 15
	slotPitch    = 43
	slotSize     = 38
	slotMargin   = 1   // for the line of the outermost frames
	slotCenter   = 20  // of a slot, from its corner
	grid         = 8   // between addresses of a prefix
	gridFirst    = 8   // of the first address, from the corner
	ringOfIP     = 7   // radius
	ringInGrid   = 2.6 // radius
	slotsWidth   = SlotsPerLine*slotPitch - (slotPitch - slotSize) + 2*slotMargin
)

// Slots draws what is in the slots of a node: secondary IPs, then prefixes, then the empty
// ones. Of a zero time the rings of what cools are open, for a page that closes them.
func Slots(n *survey.Node, now time.Time) Drawing {
	var d slotsDrawing
	for i, b := range InSlots(n) {
		d.block(i, b, now)
	}
	for i := range max(n.Slots, len(n.Blocks)) {
		x, y := corner(i)
		d.frames.rounded(x, y, slotSize, 4)
	}
	lines := (max(n.Slots, len(n.Blocks), 1) + SlotsPerLine - 1) / SlotsPerLine
	return svg("slots", describe(n), slotsWidth, float64((lines-1)*slotPitch+slotSize+2*slotMargin), d.String())
}

// InSlots is what is in the slots of a node, in the order in which they are drawn.
func InSlots(n *survey.Node) []survey.Block {
	return slices.SortedStableFunc(slices.Values(n.Blocks), func(a, b survey.Block) int { return cmp.Compare(a.Kind(), b.Kind()) })
}

// describe says in words what Slots shows.
func describe(n *survey.Node) string {
	return fmt.Sprintf("%s: %d slots, %d with a secondary IP, %d with a prefix, %d empty; %d addresses in use",
		n.Name, n.Slots, n.SecondaryIPs, n.Prefixes, max(0, n.Slots-n.SecondaryIPs-n.Prefixes), n.InUse)
}

// slotsDrawing is a path for all things of a kind: few elements, however many addresses.
type slotsDrawing struct {
	frames, heldIPs, freeIPs, held, free path
	cooling                              strings.Builder
}

func corner(i int) (x, y float64) {
	return float64(i%SlotsPerLine*slotPitch + slotMargin), float64(i/SlotsPerLine*slotPitch + slotMargin)
}

func (d *slotsDrawing) block(i int, b survey.Block, now time.Time) {
	x, y := corner(i)
	if b.Kind() == ledger.SecondaryIP {
		d.secondaryIP(x+slotCenter-1, y+slotCenter-1, b.Addresses[0], now)
		return
	}
	for j, a := range b.Addresses {
		ax, ay := x+gridFirst-1+float64(j%4*grid), y+gridFirst-1+float64(j/4*grid)
		switch a.State {
		case survey.Held:
			d.held.dot(ax, ay)
		case survey.Free:
			d.free.dot(ax, ay)
		case survey.Cooling:
			d.cools(ax, ay, ringInGrid, a.Until, now)
		}
	}
}

func (d *slotsDrawing) secondaryIP(x, y float64, a survey.Address, now time.Time) {
	switch a.State {
	case survey.Held:
		d.heldIPs.dot(x, y)
	case survey.Free:
		d.freeIPs.ring(x, y, ringOfIP)
	case survey.Cooling:
		d.cools(x, y, ringOfIP, a.Until, now)
	}
}

// cools draws a ring that closes while an address cools. Its length counts as 30, a unit a
// second, and a page that lives lets it grow until the time that it carries.
func (d *slotsDrawing) cools(x, y, r float64, until, now time.Time) {
	passed := time.Duration(0)
	if !now.IsZero() {
		passed = ledger.Cooldown - max(0, min(ledger.Cooldown, until.Sub(now)))
	}
	ring := []string{
		"class", "cool", "cx", num(x), "cy", num(y), "r", num(r), "pathLength", "30",
		"stroke-dasharray", fmt.Sprintf("%d 30", int(passed.Seconds())), "transform", fmt.Sprintf("rotate(-90 %s %s)", num(x), num(y)),
	}
	if !until.IsZero() {
		ring = append(ring, "data-until", strconv.FormatInt(until.UnixMilli(), 10))
	}
	fmt.Fprint(&d.cooling, element("circle", "", ring...))
}

func (d *slotsDrawing) String() string {
	return d.frames.tag("frame") + d.free.tag("free") + d.held.tag("held") + d.freeIPs.tag("free-ip") + d.heldIPs.tag("held-ip") + d.cooling.String()
}
