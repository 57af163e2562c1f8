// Package links holds the documents of the repository against each other: what they link
// to is there.
//
// Only tests come in.
package links

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

var (
	fenced  = regexp.MustCompile("(?ms)^[ ]*```.*?^[ ]*```[ ]*$")
	inline  = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	linked  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// TestLinks: each link within the repository leads to a file or folder, and to a heading
// where it names one.
func TestLinks(t *testing.T) {
	all := documents(t)
	links := 0
	for _, document := range all {
		for _, target := range targets(read(t, document)) {
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			links++
			path, anchor, named := strings.Cut(target, "#")
			at := document
			if path != "" {
				at = filepath.Join(filepath.Dir(document), path)
			}
			if _, err := os.Stat(at); err != nil {
				t.Errorf("%s: %s: %v", document, target, err)
				continue
			}
			if named && !slices.Contains(anchors(read(t, at)), anchor) {
				t.Errorf("%s: %s: there is no such heading", document, target)
			}
		}
	}
	if links == 0 {
		t.Errorf("no links in %q", all)
	}
}

// TestAnchors: headings are named as GitHub names them.
func TestAnchors(t *testing.T) {
	text := "# One [ENI](a), `ledger`!\n```sh\n# no heading\n```\n## Why not ...\n## AWS's: a_b-c, and back\n## Again\n### Again\n"
	want := []string{"one-eni-ledger", "why-not-", "awss-a_b-c-and-back", "again", "again-1"}
	if diff := cmp.Diff(want, anchors(text)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestTargets: what looks like a link in code is none.
func TestTargets(t *testing.T) {
	text := "[a](x.md) `[b](no)` [`c`](../y#z)\n   ```sh\n[d](no)\n   ```\n[e](#f)"
	if diff := cmp.Diff([]string{"x.md", "../y#z", "#f"}, targets(text)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// documents are all files of Markdown but those that tools bring.
func documents(t *testing.T) (all []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "bin"):
			return filepath.SkipDir
		case !entry.IsDir() && strings.HasSuffix(path, ".md"):
			all = append(all, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// targets are where a document's links lead.
func targets(text string) (all []string) {
	text = inline.ReplaceAllString(fenced.ReplaceAllString(text, ""), "code")
	for _, found := range link.FindAllStringSubmatch(text, -1) {
		all = append(all, found[1])
	}
	return all
}

// anchors are the names of a document's headings, as GitHub makes them: in lower case,
// letters, digits, - and _ stay, blanks become -, and of equal ones the later are numbered.
func anchors(text string) (all []string) {
	seen := map[string]int{}
	for _, found := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, linked.ReplaceAllString(strings.TrimSpace(found[1]), "$1"))
		if n := seen[name]; n > 0 {
			all = append(all, name+"-"+strconv.Itoa(n))
		} else {
			all = append(all, name)
		}
		seen[name]++
	}
	return all
}
