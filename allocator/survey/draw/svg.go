package draw

import (
	"fmt"
	"html"
	"strconv"
	"strings"
)

// path is the data of an SVG path in the making. Coordinates have one decimal: a tenth of
// a pixel is all that can be seen.
type path struct{ strings.Builder }

func num(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// tenth rounds to what can be seen.
func tenth(x float64) float64 { return float64(int(x*10+0.5)) / 10 }

// dot is a point, which a round line cap makes a disc.
func (p *path) dot(x, y float64) { p.WriteString("M" + num(tenth(x)) + " " + num(tenth(y)) + "h0") }

// box is a rectangle.
func (p *path) box(x, y, w, h float64) {
	fmt.Fprintf(p, "M%s %sh%sv%sh%sz", num(tenth(x)), num(tenth(y)), num(w), num(h), num(-w))
}

// rounded is a square with round corners.
func (p *path) rounded(x, y, size, r float64) {
	side := num(size - 2*r)
	fmt.Fprintf(p, "M%s %sh%sa%[4]s %[4]s 0 0 1 %[4]s %[4]sv%[3]sa%[4]s %[4]s 0 0 1-%[4]s %[4]sh-%[3]sa%[4]s %[4]s 0 0 1-%[4]s-%[4]sv-%[3]sa%[4]s %[4]s 0 0 1 %[4]s-%[4]sz",
		num(x+r), num(y), side, num(r))
}

// ring is a circle.
func (p *path) ring(x, y, r float64) {
	fmt.Fprintf(p, "M%s %sa%[3]s %[3]s 0 1 0 %[4]s 0a%[3]s %[3]s 0 1 0-%[4]s 0", num(x-r), num(y), num(r), num(2*r))
}

// cross is two strokes through a square.
func (p *path) cross(x, y, size float64) {
	fmt.Fprintf(p, "M%s %sl%[3]s %[3]sm0-%[3]sl-%[3]s %[3]s", num(tenth(x)), num(tenth(y)), num(size))
}

// tag is the path as an element; nothing where it is empty.
func (p *path) tag(class string) string {
	if p.Len() == 0 {
		return ""
	}
	return `<path class="` + class + `" d="` + p.String() + `"/>`
}

// Drawing is a finished one, of a size in pixels.
type Drawing struct {
	Width, Height float64
	class, label  string
	content       string
}

// svg is a drawing, with what it says in words.
func svg(class, label string, w, h float64, content string) Drawing {
	return Drawing{w, h, class, label, content}
}

// String is the drawing as an element for a page, which gives it its size.
func (d Drawing) String() string { return d.element("") }

// at is the drawing as a part of another one, at a place and of a width.
func (d Drawing) at(x, y, width float64) string {
	return d.element(fmt.Sprintf(` x="%s" y="%s" width="%s" height="%s"`, num(x), num(y), num(width), num(tenth(d.Height*width/d.Width))))
}

func (d Drawing) element(place string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" class="%s"%s viewBox="0 0 %s %s" role="img" aria-label="%s">%s</svg>`,
		d.class, place, num(d.Width), num(d.Height), html.EscapeString(d.label), d.content)
}

// text is a line of text.
func text(class string, x, y float64, s string) string {
	return fmt.Sprintf(`<text class="%s" x="%s" y="%s">%s</text>`, class, num(tenth(x)), num(tenth(y)), html.EscapeString(s))
}

// rect is a rectangle as an element of its own; nothing where it has no width.
func rect(class string, x, y, w, h float64) string {
	if w <= 0 {
		return ""
	}
	return fmt.Sprintf(`<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>`, class, num(tenth(x)), num(y), num(tenth(w)), num(h))
}
