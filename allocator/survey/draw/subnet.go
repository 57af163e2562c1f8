package draw

import (
	"fmt"
	"strings"

	"slotwise.dev/slotwise/allocator/survey"
)

// Grid is how the blocks of a subnet are laid out: so many to a line, of a size and a
// pitch in pixels, right of the labels.
type Grid struct {
	PerLine int     `json:"perLine"`
	Pitch   float64 `json:"pitch"`
	Left    float64 `json:"left"`
	size    float64
}

// fineFrom is from how many blocks on they are drawn small: those of a /17.
const fineFrom = 2048

// GridOf lays out so many blocks.
func GridOf(blocks int) Grid {
	if blocks >= fineFrom {
		return Grid{PerLine: 128, Pitch: 7.5, Left: 86, size: 6.5}
	}
	return Grid{PerLine: 64, Pitch: 15, Left: 86, size: 13}
}

// classes of the uses of a block.
var classes = [...]string{
	survey.Unused: "unused", survey.NodePrefix: "node-prefix", survey.NodeIPs: "node-ips", survey.Spoiled: "spoiled",
	survey.OtherPrefix: "other-prefix", survey.Reserved: "reserved", survey.Explicit: "explicit", survey.Kept: "kept",
}

// Subnet draws each /28 of a subnet as a square.
func Subnet(s *survey.Subnet) Drawing {
	g := GridOf(len(s.Cells))
	var squares [len(classes)]path
	var dots, crosses path
	var parts []string
	for i, c := range s.Cells {
		x, y := g.Left+float64(i%g.PerLine)*g.Pitch, float64(i/g.PerLine)*g.Pitch
		squares[c.Use].box(x, y, g.size, g.size)
		switch c.Use {
		case survey.NodeIPs:
			dots.dot(x+g.size/2, y+g.size/2)
		case survey.Spoiled:
			crosses.cross(x+g.size*.25, y+g.size*.25, g.size*.5)
		default: // the square says it all
		}
		if line := i / g.PerLine; i%g.PerLine == 0 && (g.Pitch > 10 || line%2 == 0) {
			parts = append(parts, text("label end", g.Left-8, y+g.size/2+4, c.Block.Addr().String()))
		}
	}
	for use := range squares {
		parts = append(parts, squares[use].tag("cell "+classes[use]))
	}
	parts = append(parts, dots.tag("ip-dot"), crosses.tag("cross"))
	lines := (len(s.Cells) + g.PerLine - 1) / g.PerLine
	label := fmt.Sprintf("%s: %d whole /28 blocks are free", s.ID, s.FreePrefixes)
	return svg("subnet", label, subnetWidth, float64(max(1, lines))*g.Pitch, strings.Join(parts, ""))
}

const subnetWidth = 86 + 64*15

// Summary says of a subnet in a line what there is and what is left.
func Summary(s *survey.Subnet) string {
	if s.Why != "" {
		return "not looked at: " + s.Why
	}
	line := fmt.Sprintf("%s %s · each square one /28 · %d free for prefixes, %d single addresses", s.CIDR, s.Zone, s.FreePrefixes, s.FreeIPs)
	if s.Hidden > 0 {
		line += fmt.Sprintf(" · %d addresses in use are hidden by EC2, as in a shared subnet", s.Hidden)
	}
	return line
}
