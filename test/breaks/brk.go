package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// breakage is one fault that is put back. In its file the first lines are
//
//	name: held address given
//	promise: I1
//	from: issues 2 to 4, breaks seen to fail
//	meant: addresses held by two live pods at once
//
// and then, for each place that is changed,
//
//	file: allocator/ledger/ledger.go
//	--- old
//	text as it stands there, exactly once
//	--- new
//	text to put in its place
//	--- end
//
// An empty line and one that begins with # count for nothing outside of the texts.
type breakage struct {
	Name    string
	Promise string // the invariant, or what was promised
	From    string // where it is told of
	// Meant is a part of the kinds of violations by which it is to be found, several with |
	// between; empty: any.
	Meant  string
	Places []place
}

// place is a change of a file.
type place struct {
	File     string // in the module
	Old, New string
}

// read reads a breakage.
func read(path string) (b breakage, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return b, err
	}
	b, err = parse(string(text))
	if err != nil {
		err = fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return b, err
}

func parse(text string) (b breakage, err error) {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case key == "name":
			b.Name = value
		case key == "promise":
			b.Promise = value
		case key == "from":
			b.From = value
		case key == "meant":
			b.Meant = value
		case key == "file":
			p := place{File: value}
			if p.Old, i, err = section(lines, i+1, "--- old", "--- new"); err == nil {
				p.New, i, err = section(lines, i, "--- new", "--- end")
			}
			if err != nil {
				return b, fmt.Errorf("%s: %w", value, err)
			}
			b.Places = append(b.Places, p)
		default:
			return b, fmt.Errorf("line %d: %q is nothing that is known here", i+1, line)
		}
	}
	if b.Name == "" || b.Promise == "" || b.From == "" || len(b.Places) == 0 {
		return b, fmt.Errorf("name, promise, from and a file are all needed")
	}
	return b, nil
}

// section is the text between two lines; at is the line of the end.
func section(lines []string, from int, begin, end string) (text string, at int, err error) {
	if from >= len(lines) || lines[from] != begin {
		return "", from, fmt.Errorf("line %d: want %q", from+1, begin)
	}
	n := slices.Index(lines[from+1:], end)
	if n < 0 {
		return "", from, fmt.Errorf("line %d: %q is missing", from+1, end)
	}
	return strings.Join(lines[from+1:from+1+n], "\n"), from + 1 + n, nil
}

// apply makes the files that are changed, in a folder, and returns what an overlay of the
// go command replaces: where the module has each, and where it is now.
func (b breakage) apply(module, folder string) (map[string]string, error) {
	changed := map[string][]byte{}
	for _, p := range b.Places {
		path := filepath.Join(module, filepath.FromSlash(p.File))
		text, known := changed[path]
		if !known {
			var err error
			if text, err = os.ReadFile(path); err != nil {
				return nil, err
			}
		}
		if n := bytes.Count(text, []byte(p.Old)); n != 1 {
			return nil, fmt.Errorf("%s has the old text %d times, want once:\n%s", p.File, n, p.Old)
		}
		changed[path] = bytes.Replace(text, []byte(p.Old), []byte(p.New), 1)
	}
	replaced := map[string]string{}
	for path, text := range changed {
		to := filepath.Join(folder, fmt.Sprintf("%d.go", len(replaced)))
		if err := os.WriteFile(to, text, 0o600); err != nil {
			return nil, err
		}
		replaced[path] = to
	}
	return replaced, nil
}
