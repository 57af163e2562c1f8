// Package draw draws a survey.Cluster as SVG: the slots of a node, the bar of what is
// promised and there, the blocks of a subnet, and both figures over time. A page shows the
// parts one by one; Picture puts them together into one file.
//
// It is pure. The looks are in style.css, which has light and dark colors; what is bad is
// hatched besides being red, and each kind of thing has a shape of its own.
package draw

import _ "embed"

// Style is the style sheet of all that is drawn here.
//
//go:embed style.css
var Style string

// Defs are the patterns that the style sheet refers to; a document needs them once.
const Defs = `<defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">` +
	`<rect width="8" height="8" class="hatch-ground"/><rect width="4" height="8" class="hatch-line"/></pattern></defs>`
