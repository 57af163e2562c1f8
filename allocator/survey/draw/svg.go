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
func (p *path) dot(x, y float64) { fmt.Fprintf(p, "M%s %sh0", num(tenth(x)), num(tenth(y))) }

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
	return element("path", "", "class", class, "d", p.String())
}

// element is an XML element with its content, which is markup, and its attributes, which
// are texts: a name and a value each.
func element(name, content string, attributes ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<%s", name)
	for i := 0; i+1 < len(attributes); i += 2 {
		fmt.Fprintf(&b, " %s=\"", attributes[i])
		fmt.Fprintf(&b, "%s\"", html.EscapeString(attributes[i+1]))
	}
	if content == "" {
		return b.String() + "/>"
	}
	return b.String() + ">" + content + "</" + name + ">"
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
func (d Drawing) String() string { return d.element() }

// at is the drawing as a part of another one, at a place and of a width.
func (d Drawing) at(x, y, width float64) string {
	return d.element("x", num(x), "y", num(y), "width", num(width), "height", num(tenth(d.Height*width/d.Width)))
}

func (d Drawing) element(place ...string) string {
	attributes := []string{"xmlns", "http://www.w3.org/2000/svg", "class", d.class, "viewBox", fmt.Sprintf("0 0 %s %s", num(d.Width), num(d.Height)), "role", "img", "aria-label", d.label}
	return element("svg", d.content, append(attributes, place...)...)
}

// text is a line of text.
func text(class string, x, y float64, s string) string {
	return element("text", html.EscapeString(s), "class", class, "x", num(tenth(x)), "y", num(tenth(y)))
}

// rect is a rectangle as an element of its own; nothing where it has no width.
func rect(class string, x, y, w, h float64) string {
	if w <= 0 {
		return ""
	}
	return element("rect", "", "class", class, "x", num(tenth(x)), "y", num(y), "width", num(tenth(w)), "height", num(h))
}
