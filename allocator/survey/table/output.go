package table

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"sigs.k8s.io/yaml"

	"slotwise.dev/slotwise/allocator/survey"
)

// Formats are the values of -o; the empty one is the table.
var Formats = []string{"", "json", "yaml"}

// Print prints a cluster in one of Formats. Another is an error.
func Print(out io.Writer, c *survey.Cluster, format string, color bool) error {
	var text []byte
	var err error
	switch format {
	case "":
		return Nodes(out, c, color)
	case "json":
		text, err = json.MarshalIndent(c, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(c)
	default:
		return fmt.Errorf("-o %q: want json or yaml, or leave it out for a table", format)
	}
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

// Color says that colors are for out: a terminal, whose user has not said no.
// https://no-color.org
func Color(out io.Writer) bool {
	f, is := out.(*os.File)
	if !is || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
