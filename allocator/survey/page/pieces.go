package page

import (
	"fmt"
	"html"
	"strings"
	"time"

	"slotwise.dev/slotwise/allocator/survey"
	"slotwise.dev/slotwise/allocator/survey/draw"
)

// Piece is a part of the page that changes by itself.
type Piece struct {
	HTML  string `json:"html,omitempty"`
	Group string `json:"group,omitempty"` // of a node
	Gap   int    `json:"gap,omitempty"`   // by which nodes and groups are sorted
	Find  string `json:"find,omitempty"`  // by which they are found, in small letters
}

// Pieces by key: "head", "history", "group/NAME", "node/NAME", "subnet/ID".
type Pieces map[string]Piece

// New are the pieces of a cluster.
func New(c *survey.Cluster) Pieces {
	p := Pieces{"head": {HTML: head(c)}}
	for _, g := range c.Groups() {
		p["group/"+g] = group(g, c.Nodes)
	}
	for i := range c.Nodes {
		p["node/"+c.Nodes[i].Name] = node(&c.Nodes[i])
	}
	for i := range c.Subnets {
		p["subnet/"+c.Subnets[i].ID] = Piece{HTML: subnet(&c.Subnets[i])}
	}
	return p
}

// Diff is what turns was into next; a piece that has gone is nil.
func Diff(was, next Pieces) map[string]*Piece {
	diff := map[string]*Piece{}
	for key, piece := range next {
		if old, had := was[key]; !had || old != piece {
			diff[key] = &piece
		}
	}
	for key := range was {
		if _, has := next[key]; !has {
			diff[key] = nil
		}
	}
	return diff
}

func esc(s string) string { return html.EscapeString(s) }

func head(c *survey.Cluster) string {
	bad := ""
	if c.Totals.Hang > 0 {
		bad = " bad"
	}
	s := fmt.Sprintf(`<div><h1>%s</h1><p>%s</p></div><div class="sum"><strong class="headline%s">%s</strong><p>%s</p></div>`,
		esc(draw.Title), esc(draw.Subtitle(c)), bad, esc(draw.Headline(c.Totals)), esc(draw.Equation(c.Totals)))
	if c.Trouble != "" {
		s += `<p class="trouble">EC2 could not be looked at; what it showed before is shown: ` + esc(c.Trouble) + `</p>`
	}
	return s
}

func group(name string, all []survey.Node) Piece {
	var nodes []survey.Node
	for i := range all {
		if all[i].Group == name {
			nodes = append(nodes, all[i])
		}
	}
	t := survey.Sum(nodes)
	count := draw.Nodes(len(nodes))
	if t.Odd > 0 {
		count += fmt.Sprintf(", %d not looked at", t.Odd)
	}
	return Piece{Gap: t.Gap, HTML: `<span class="name"><b>` + esc(name) + `</b><small>` + count + `</small></span>` +
		draw.Strip(draw.In(nodes, name)).String() + figures(draw.Sum(t), t.Gap, t.Hang)}
}

func node(n *survey.Node) Piece {
	p := Piece{Group: n.Group, Gap: n.Gap, Find: strings.ToLower(strings.Join([]string{n.Name, n.Group, n.Type, n.Subnet, n.Instance}, " "))}
	p.HTML = `<span class="name"><b>` + esc(n.Name) + `</b><small>` + esc(n.Type) + `</small></span>`
	if n.Why != "" {
		p.Gap = -1 // below all that could be looked at
		p.HTML += `<span class="why">not looked at: ` + esc(n.Why) + `</span>`
		return p
	}
	p.HTML += draw.Slots(n, time.Time{}).String() + figures(draw.Of(n), n.Gap, n.Hang)
	if n.Waiting > 0 {
		p.HTML += fmt.Sprintf(`<span class="note">%d pods are bound there and have no address</span>`, n.Waiting)
	} else if n.Note != "" {
		p.HTML += `<span class="note">` + esc(n.Note) + `</span>`
	}
	return p
}

// figures are the bar and the words right of it.
func figures(f draw.Figures, gap, hang int) string {
	words := fmt.Sprintf(`<b>%d there</b><small>%d promised</small>`, f.There, f.Promised)
	switch {
	case hang > 0:
		words += fmt.Sprintf(`<small class="bad">%d would hang</small>`, hang)
	case gap > 0:
		words += fmt.Sprintf(`<small>%d beyond max-pods</small>`, gap)
	case gap < 0:
		words += fmt.Sprintf(`<small>%d hidden</small>`, -gap)
	}
	return draw.Bar(f).String() + `<span class="figures">` + words + `</span>`
}

func subnet(s *survey.Subnet) string {
	heading := `<h3>` + esc(s.ID) + `<small>` + esc(draw.Summary(s)) + `</small></h3>`
	if s.Why != "" {
		return heading
	}
	return heading + draw.Subnet(s).String()
}
