package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = `# what it is about
name: held address given
promise: I1
from: issues 2 to 4
meant: held by two

file: a/b.go
--- old
	if held(a) {
		return
	}
--- new
--- end
file: a/b.go
--- old
x := 1
--- new
x := 2
--- end
`

func TestParse(t *testing.T) {
	got, err := parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	want := breakage{
		Name: "held address given", Promise: "I1", From: "issues 2 to 4", Meant: "held by two",
		Places: []place{
			{File: "a/b.go", Old: "\tif held(a) {\n\t\treturn\n\t}"},
			{File: "a/b.go", Old: "x := 1", New: "x := 2"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, text := range map[string]string{
		"nothing":             "",
		"no name":             strings.Replace(sample, "name: held address given", "", 1),
		"an unknown key":      "what: this\n" + sample,
		"an end that is lost": strings.Replace(sample, "--- end", "", 2),
		"no new text":         strings.Replace(sample, "--- new\nx := 2\n", "", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if b, err := parse(text); err == nil {
				t.Errorf("is read as %+v", b)
			}
		})
	}
}

func TestApply(t *testing.T) {
	for name, test := range map[string]struct {
		source  string
		want    string
		problem string
	}{
		"both places":    {source: "package b\n\tif held(a) {\n\t\treturn\n\t}\nx := 1\n", want: "package b\n\nx := 2\n"},
		"it has changed": {source: "package b\nx := 1\n", problem: "0 times"},
		"it is there twice": {
			source: "package b\n\tif held(a) {\n\t\treturn\n\t}\nx := 1\ny := x\nx := 1\n", problem: "2 times",
		},
	} {
		t.Run(name, func(t *testing.T) {
			module, folder := t.TempDir(), t.TempDir()
			path := filepath.Join(module, "a", "b.go")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(test.source), 0o600); err != nil {
				t.Fatal(err)
			}
			b, err := parse(sample)
			if err != nil {
				t.Fatal(err)
			}
			replaced, err := b.apply(module, folder)
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Errorf("error %v, want one with %q", err, test.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(replaced[path])
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("made %q, want %q", got, test.want)
			}
			if source, _ := os.ReadFile(path); string(source) != test.source {
				t.Error("the source itself was changed")
			}
		})
	}
}

// Each break can be put back: its text is in the source, once.
func TestList(t *testing.T) {
	files, err := filepath.Glob("list/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := read(f)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := b.apply("../..", t.TempDir()); err != nil {
			t.Errorf("%s: %v", b.Name, err)
		}
	}
}
