package checkup

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"
)

// Print prints findings, a line each and the fix below it; or as json or yaml. Another
// format is an error. With color, what is bad is red.
func Print(out io.Writer, findings []Finding, format string, color bool) (err error) {
	var text []byte
	switch format {
	case "":
		text = lines(findings, color)
	case "json":
		text, err = json.MarshalIndent(findings, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(findings)
	default:
		return fmt.Errorf("-o %q: want json or yaml, or leave it out for text", format)
	}
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

func lines(findings []Finding, color bool) []byte {
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
	return []byte(b.String())
}
