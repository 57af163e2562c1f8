package draw

import (
	"fmt"
	"strings"
	"time"

	"slotwise.dev/slotwise/allocator/survey"
)

// Sample is what was promised and there at a time.
type Sample struct {
	At time.Time
	Figures
	Mode string
}

// SampleOf is that of a cluster at a time.
func SampleOf(c *survey.Cluster, at time.Time) Sample { return Sample{at, Sum(c.Totals), c.Mode} }

// Measures of the curves, in pixels.
const (
	historyWidth = 1046
	curveLeft    = 86
	curveTop     = 18
	curveHeight  = 82
	curveBottom  = curveTop + curveHeight
)

// History draws both figures over the last so long, with the gap between them hatched.
// Samples stand in order; each holds until the next.
func History(samples []Sample, span time.Duration, now time.Time) Drawing {
	if len(samples) == 0 {
		return svg("history", "nothing has been seen yet", historyWidth, curveBottom+20, "")
	}
	p := plot{from: now.Add(-span), span: span, now: now, most: 1}
	for _, s := range samples {
		p.most = max(p.most, s.Promised, s.There)
	}
	promised, there := p.steps(samples, func(s Sample) int { return s.Promised }), p.steps(samples, func(s Sample) int { return s.There })
	last := samples[len(samples)-1]
	content := p.axis() + p.gap(samples) +
		line("promised-line", promised) + line("there-line", there) +
		p.marks(samples) + p.ends(last)
	label := fmt.Sprintf("the last %s: now %d promised, %d there", span, last.Promised, last.There)
	return svg("history", label, historyWidth, curveBottom+20, content)
}

// plot maps times and figures to places.
type plot struct {
	from, now time.Time
	span      time.Duration
	most      int
}

type point struct{ x, y float64 }

func (p plot) x(t time.Time) float64 {
	part := max(0, float64(t.Sub(p.from))/float64(p.span))
	return tenth(curveLeft + part*(historyWidth-1-curveLeft))
}

func (p plot) y(n int) float64 { return tenth(curveBottom - float64(n)/float64(p.most)*curveHeight) }

// steps is a curve that goes on level until the next sample.
func (p plot) steps(samples []Sample, value func(Sample) int) []point {
	var curve []point
	for i, s := range samples {
		until := p.now
		if i+1 < len(samples) {
			until = samples[i+1].At
		}
		if until.Before(p.from) {
			continue
		}
		y := p.y(value(s))
		if n := len(curve); n > 1 && curve[n-1].y == y {
			curve[n-1].x = p.x(until)
			continue
		}
		curve = append(curve, point{p.x(s.At), y}, point{p.x(until), y})
	}
	return curve
}

// gap is the area where more is promised than there, a box for each stretch of time.
func (p plot) gap(samples []Sample) string {
	var area path
	for i, s := range samples {
		until := p.now
		if i+1 < len(samples) {
			until = samples[i+1].At
		}
		if x := p.x(s.At); s.Promised > s.There && !until.Before(p.from) {
			area.box(x, p.y(s.Promised), tenth(p.x(until)-x), tenth(p.y(s.There)-p.y(s.Promised)))
		}
	}
	return area.tag("lack")
}

// axis is the time, with a word at each minute.
func (p plot) axis() string {
	var rule path
	fmt.Fprintf(&rule, "M%d %dH%d", curveLeft, curveBottom, historyWidth-1)
	parts := []string{rule.tag("axis"), text("label end", historyWidth-6, curveBottom+15, "now")}
	for minutes := time.Minute; minutes < p.span; minutes += time.Minute {
		parts = append(parts, text("label middle", p.x(p.now.Add(-minutes)), curveBottom+15, fmt.Sprintf("%d min ago", int(minutes.Minutes()))))
	}
	return strings.Join(parts, "")
}

// marks are the switches of mode.
func (p plot) marks(samples []Sample) string {
	var rules path
	var words []string
	for i := 1; i < len(samples); i++ {
		if s := samples[i]; s.Mode != samples[i-1].Mode && !s.At.Before(p.from) {
			fmt.Fprintf(&rules, "M%s %dV%d", num(p.x(s.At)), curveTop-6, curveBottom)
			words = append(words, text("label end", max(p.x(s.At), curveLeft+130)-5, curveTop-2, "switched to "+s.Mode))
		}
	}
	return rules.tag("switch") + strings.Join(words, "")
}

// ends are the words at the end of the curves.
func (p plot) ends(s Sample) string {
	up, down := p.y(s.Promised), p.y(s.There)
	if up > down {
		up, down = down, up
	}
	const right = historyWidth - 6
	words := text("label end strong promised", right, p.y(s.Promised)-5, fmt.Sprintf("formula %d", s.Promised))
	if down-up < 14 && s.Promised != s.There {
		return words + text("label end strong there", right-110, p.y(s.There)-5, fmt.Sprintf("there %d", s.There))
	}
	if s.Promised == s.There {
		return text("label end strong there", right, p.y(s.There)-5, fmt.Sprintf("formula and truth %d", s.There))
	}
	return words + text("label end strong there", right, p.y(s.There)+14, fmt.Sprintf("there %d", s.There))
}

// line is a curve through points.
func line(class string, curve []point) string {
	var p path
	command := "M"
	for _, c := range curve {
		fmt.Fprintf(&p, "%s%s %s", command, num(c.x), num(c.y))
		command = "L"
	}
	return p.tag(class)
}
