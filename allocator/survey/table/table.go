// Package table prints a survey.Cluster for people, in a terminal or without one, and for
// programs, as JSON or YAML.
package table

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"slotwise.dev/slotwise/allocator/survey"
	"slotwise.dev/slotwise/allocator/survey/output"
)

// gapBetween is how far columns stand apart.
const gapBetween = 2

// cell is one cell of a table. Figures stand on the right.
type cell struct {
	text   string
	figure bool
	red    bool
}

func word(text string) cell { return cell{text: text} }
func figure(n int) cell     { return cell{text: strconv.Itoa(n), figure: true} }

// lack is a figure that is bad where it is above zero.
func lack(n int) cell { return cell{text: strconv.Itoa(n), figure: true, red: n > 0} }

// maybe is a figure that may not be known.
func maybe(n *int) cell {
	if n == nil {
		return cell{text: "-", figure: true}
	}
	return figure(*n)
}

var heads = []cell{
	{text: "NODE"}, {text: "TYPE"}, {text: "SUBNET"},
	{text: "SLOTS", figure: true}, {text: "IPS", figure: true}, {text: "PREFIXES", figure: true},
	{text: "PODS", figure: true}, {text: "COOLING", figure: true}, {text: "MAX-PODS", figure: true},
	{text: "PROMISED", figure: true}, {text: "THERE", figure: true}, {text: "GAP", figure: true}, {text: "WOULD HANG", figure: true},
}

// Print prints a cluster as a table, or as json or yaml; another format is an error. With
// color, what is promised and not there is red.
func Print(out io.Writer, c *survey.Cluster, format string, color bool) error {
	return output.Print(out, c, format, "a table", func() string { return nodes(c, color) })
}

// nodes are a row a node, why some could not be looked at, and the total.
func nodes(c *survey.Cluster, color bool) string {
	rows := [][]cell{heads}
	for i := range c.Nodes {
		rows = append(rows, row(&c.Nodes[i]))
	}
	var b strings.Builder
	if len(c.Nodes) > 0 {
		write(&b, rows, color)
		b.WriteByte('\n')
	}
	for i := range c.Nodes {
		if n := &c.Nodes[i]; n.Why != "" {
			fmt.Fprintf(&b, "not looked at: %s: %s\n", n.Name, n.Why)
		} else if n.Note != "" {
			fmt.Fprintf(&b, "%s: %s\n", n.Name, n.Note)
		}
	}
	b.WriteString(total(c, color))
	return b.String()
}

func row(n *survey.Node) []cell {
	if n.Why != "" {
		r := []cell{word(n.Name), word(n.Type), word("not looked at, see below")}
		for range heads[len(r):] {
			r = append(r, cell{text: "?", figure: true})
		}
		return r
	}
	limit := cell{text: "?", figure: true}
	if n.MaxPods > 0 {
		limit = figure(n.MaxPods)
	}
	return []cell{
		word(n.Name), word(n.Type), word(n.Subnet), figure(n.Slots), figure(n.SecondaryIPs), figure(n.Prefixes),
		figure(n.Pods), maybe(n.Cooling), limit, figure(n.Promised), figure(n.There), lack(n.Gap), lack(n.Hang),
	}
}

// write aligns the columns. Colors are no part of a cell's width.
func write(out *strings.Builder, rows [][]cell, color bool) {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, c := range r {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c.text))
			text := paint(c.text, color && c.red)
			if c.figure {
				text, pad = pad+text, ""
			}
			line.WriteString(text + pad + strings.Repeat(" ", gapBetween))
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// total is the closing lines: what it comes to.
func total(c *survey.Cluster, color bool) string {
	t := c.Totals
	var b strings.Builder
	switch {
	case t.Nodes+t.Odd == 0:
		return "There are no Windows nodes: none has the label kubernetes.io/os=windows.\n"
	case t.Nodes == 0:
		return fmt.Sprintf("None of %d Windows nodes could be looked at.\n", t.Odd)
	}
	hang := plural(t.Hang, "pod") + " would hang"
	fmt.Fprintf(&b, "%s: in %s mode AWS's formula promises %d on %s, of which %d are there.\n",
		paint(hang, color && t.Hang > 0), c.Mode, t.Promised, plural(t.Nodes, "node"), t.There)
	if t.Advertised > 0 {
		fmt.Fprintf(&b, "The nodes show the scheduler %d now.\n", t.Advertised)
	}
	if t.Gap > t.Hang {
		fmt.Fprintf(&b, "%d more are promised and not there, but max-pods keeps pods from them.\n", t.Gap-t.Hang)
	}
	if t.Unseen > 0 {
		fmt.Fprintf(&b, "On nodes with a gap below zero the formula hides %d addresses that are there.\n", t.Unseen)
	}
	if t.Waiting > 0 {
		fmt.Fprintf(&b, "%d pods are bound and have no address now: kubectl get pods -A --field-selector=status.phase=Pending\n", t.Waiting)
	}
	if t.Odd > 0 {
		fmt.Fprintf(&b, "Not counted: %s that could not be looked at.\n", plural(t.Odd, "node"))
	}
	if !c.Enabled {
		b.WriteString("enable-windows-ipam is off in the ConfigMap: nobody gives Windows pods addresses now.\n")
	}
	return b.String()
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// paint makes a text red and bold, as terminals read it.
func paint(text string, red bool) string {
	if !red {
		return text
	}
	return "\x1b[1;31m" + text + "\x1b[0m"
}
