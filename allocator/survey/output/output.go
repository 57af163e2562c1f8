// Package output is how the commands that look at a cluster print what they have found:
// for people, or as JSON or YAML for programs.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"sigs.k8s.io/yaml"
)

// Print prints x in a format, a value of -o: json, yaml, or empty for what people prints,
// whose name is plain. Another format is an error.
func Print(out io.Writer, x any, format, plain string, people func() string) error {
	var text []byte
	var err error
	switch format {
	case "":
		text = []byte(people())
	case "json":
		text, err = json.MarshalIndent(x, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(x)
	default:
		return fmt.Errorf("-o %q: want json or yaml, or leave it out for %s", format, plain)
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
