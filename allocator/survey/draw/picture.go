package draw

import (
	"fmt"
	"strings"
	"time"

	"slotwise.dev/slotwise/allocator/survey"
)

// Measures of the whole picture, in pixels.
const (
	pictureWidth = 1180
	margin       = 24
	slotsLeft    = 150
	slotsShown   = 560 // width
	barLeft      = 735
	figuresLeft  = 1075
	mostRows     = 24 // nodes; more are drawn by groups
)

// Title is what the picture is about.
const Title = "What AWS's formula promises, and what is really there"

// Headline is what it comes to.
func Headline(t survey.Totals) string {
	switch {
	case t.Hang == 1:
		return "1 pod would hang"
	case t.Hang > 0:
		return fmt.Sprintf("%d pods would hang", t.Hang)
	case t.Unseen > 0:
		return fmt.Sprintf("%d addresses are hidden", t.Unseen)
	}
	return "no pod would hang"
}

// Equation is how the headline comes about.
func Equation(t survey.Totals) string {
	if t.Unseen > 0 {
		return fmt.Sprintf("%d promised, %d there: %d too many and %d too few", t.Promised, t.There, t.Gap, t.Unseen)
	}
	s := fmt.Sprintf("%d promised = %d in use + %d room + %d not there", t.Promised, t.InUse, t.There-t.InUse, t.Gap)
	if t.Hang < t.Gap {
		s += fmt.Sprintf(" (%d beyond max-pods)", t.Gap-t.Hang)
	}
	return s
}

// Subtitle is what the cluster is set to.
func Subtitle(c *survey.Cluster) string {
	s := c.Mode + " mode"
	if !c.Enabled {
		s += ", enable-windows-ipam is off"
	}
	s += fmt.Sprintf(" · %s · %d pods", Nodes(c.Totals.Nodes+c.Totals.Odd), c.Totals.Pods)
	if c.Totals.Odd > 0 {
		s += fmt.Sprintf(" · %d not looked at", c.Totals.Odd)
	}
	if c.Totals.Advertised > 0 {
		s += fmt.Sprintf(" · the scheduler is shown %d", c.Totals.Advertised)
	}
	return s
}

// Nodes counts them in words.
func Nodes(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}

// Picture draws a whole cluster into one SVG file that needs nothing else.
func Picture(c *survey.Cluster, now time.Time) string {
	p := &picture{now: now}
	p.head(c)
	if len(c.Nodes) > mostRows {
		p.groups(c)
	} else {
		p.nodes(c.Nodes)
	}
	for i := range c.Subnets {
		p.subnet(&c.Subnets[i])
	}
	width, height := num(pictureWidth), num(p.y+margin)
	ground := element("rect", "", "class", "ground", "width", width, "height", height)
	return element("svg", element("style", Style)+Defs+ground+strings.Join(p.parts, ""),
		"xmlns", "http://www.w3.org/2000/svg", "width", width, "height", height, "viewBox", "0 0 "+width+" "+height,
		"role", "img", "aria-label", Title+": "+Headline(c.Totals)) + "\n"
}

// picture grows from top to bottom.
type picture struct {
	parts []string
	y     float64
	now   time.Time
}

func (p *picture) add(parts ...string) { p.parts = append(p.parts, parts...) }

func (p *picture) head(c *survey.Cluster) {
	class := "headline end"
	if c.Totals.Hang > 0 {
		class += " promised"
	}
	p.add(text("title", margin, 36, Title), text("", margin, 58, Subtitle(c)),
		text(class, pictureWidth-margin, 38, Headline(c.Totals)), text("end", pictureWidth-margin, 58, Equation(c.Totals)),
		text("label", slotsLeft, 88, "slots of the network interface: ● secondary IP = 1 pod  ▦ prefix = 16 pods  ◔ cools  □ empty"),
		text("label", barLeft, 88, "in use | room left | promised by the formula, not there"))
	p.y = 100
}

func (p *picture) nodes(nodes []survey.Node) {
	for i := range nodes {
		n := &nodes[i]
		p.names(n.Name, n.Type)
		if n.Why != "" {
			p.add(text("label", slotsLeft, p.y+22, "not looked at: "+clip(n.Why, 150)))
			p.y += 52
			continue
		}
		slots := Slots(n, p.now)
		p.add(slots.at(slotsLeft, p.y, slotsShown))
		p.figures(Of(n))
		p.y += max(52, slots.Height*slotsShown/slots.Width+16)
	}
}

func (p *picture) groups(c *survey.Cluster) {
	for _, name := range c.Groups() {
		nodes := In(c.Nodes, name)
		p.names(name, Nodes(len(nodes)))
		p.add(Strip(nodes).at(slotsLeft, p.y, slotsShown))
		p.figures(Sum(survey.Sum(nodes)))
		p.y += 56
	}
}

// In are the nodes of a group that could be looked at.
func In(nodes []survey.Node, group string) []survey.Node {
	var in []survey.Node
	for i := range nodes {
		if nodes[i].Group == group && nodes[i].Why == "" {
			in = append(in, nodes[i])
		}
	}
	return in
}

func (p *picture) names(name, kind string) {
	p.add(text("strong", margin, p.y+16, clip(name, 17)), text("label", margin, p.y+32, kind))
}

func (p *picture) figures(f Figures) {
	p.add(Bar(f).at(barLeft, p.y+3, barWidth),
		text("strong", figuresLeft, p.y+13, fmt.Sprintf("%d there", f.There)),
		text("label", figuresLeft, p.y+29, fmt.Sprintf("%d promised", f.Promised)))
}

func (p *picture) subnet(s *survey.Subnet) {
	p.add(text("strong", margin, p.y+26, s.ID), text("label", margin+130, p.y+26, clip(Summary(s), 160)))
	p.y += 38
	if s.Why == "" {
		d := Subnet(s)
		p.add(d.at(margin, p.y, d.Width))
		p.y += d.Height
	}
}

// clip cuts a text to so many letters.
func clip(s string, most int) string {
	letters := []rune(s)
	if len(letters) <= most {
		return s
	}
	return string(letters[:most-1]) + "…"
}
