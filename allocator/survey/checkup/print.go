package checkup

import (
	"fmt"
	"io"
	"strings"

	"slotwise.dev/slotwise/allocator/survey/output"
)

// Print prints findings, a line each and the fix below it; or as json or yaml. Another
// format is an error. With color, what is bad is red.
func Print(out io.Writer, findings []Finding, format string, color bool) error {
	return output.Print(out, findings, format, "text", func() string { return lines(findings, color) })
}

func lines(findings []Finding, color bool) string {
	wide := 0
	for _, f := range findings {
		wide = max(wide, len(f.Check))
	}
	var b strings.Builder
	for _, f := range findings {
		word := fmt.Sprintf("%-7s", f.State)
		if color && f.State == Bad {
			word = "\x1b[1;31m" + word + "\x1b[0m"
		}
		fmt.Fprintf(&b, "%s  %-*s  %s\n", word, wide, f.Check, f.Text)
		if f.Fix != "" {
			fmt.Fprintf(&b, "%*s-> %s\n", wide+len("unknown")+4, "", f.Fix)
		}
	}
	return b.String()
}
