package draw

import (
	"fmt"

	"slotwise.dev/slotwise/allocator/survey"
)

// Measures of a bar, in pixels.
const (
	barWidth  = 330
	barHeight = 26
)

// Figures are what a bar shows.
type Figures struct{ InUse, There, Promised int }

// Of are the figures of a node.
func Of(n *survey.Node) Figures { return Figures{n.InUse, n.There, n.Promised} }

// Sum are the figures of several.
func Sum(t survey.Totals) Figures { return Figures{t.InUse, t.There, t.Promised} }

// Bar draws figures on the scale of what is promised, or of what is there where that is
// more: in use, room left, and hatched what is promised and not there.
func Bar(f Figures) Drawing { return bar(f, "bar", barWidth, barHeight) }

func bar(f Figures, class string, w, h float64) Drawing {
	scale := (w - 2) / float64(max(1, f.Promised, f.There))
	at := func(n int) float64 { return 1 + float64(n)*scale }
	content := rect("in-use", 1, 1, at(f.InUse)-1, h-2) +
		rect("room", at(f.InUse), 1, at(f.There)-at(f.InUse), h-2) +
		rect("lack", at(f.There), 1, at(f.Promised)-at(f.There), h-2) +
		rect("outline", 0.5, 0.5, w-1, h-1)
	label := fmt.Sprintf("%d in use, room for %d more, %d promised", f.InUse, max(0, f.There-f.InUse), f.Promised)
	if f.Promised > f.There {
		label += fmt.Sprintf(", of which %d are not there", f.Promised-f.There)
	} else if f.There > f.Promised {
		content += rect("mark", at(f.Promised)-1, 0, 2, h)
	}
	return svg(class, label, w, h, content)
}

// Measures of a strip, in pixels.
const (
	stripHeight = 34
	stripMost   = 91 // columns
	stripWidest = 30 // of a column
)

// Strip draws the nodes of a group as columns, those with the widest gap first, where
// there is no room for a row each.
func Strip(nodes []survey.Node) Drawing {
	var inUse, room, lack path
	n, most := min(len(nodes), stripMost), 1
	pitch := min(stripWidest, tenth(slotsWidth/float64(max(1, n))))
	for i := range n {
		most = max(most, nodes[i].Promised, nodes[i].There)
	}
	column := func(p *path, i, from, to int) {
		if to > from {
			scale := float64(stripHeight) / float64(most)
			p.box(float64(i)*pitch, stripHeight-float64(to)*scale, tenth(pitch*.85), tenth(float64(to-from)*scale))
		}
	}
	for i := range n {
		f := Of(&nodes[i])
		column(&inUse, i, 0, f.InUse)
		column(&room, i, f.InUse, f.There)
		column(&lack, i, f.There, f.Promised)
	}
	label := fmt.Sprintf("%d nodes, those with the widest gap first", len(nodes))
	return svg("strip", label, slotsWidth, stripHeight, inUse.tag("in-use")+room.tag("room")+lack.tag("lack"))
}
