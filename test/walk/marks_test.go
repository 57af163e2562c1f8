package walk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slotwise.dev/slotwise/test/check"
)

// TestMarks: all commands that are marked are carried out by a test of this package, and
// those of README.md, which shows some of them, are the guide's.
func TestMarks(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	check.Must(t, err)
	var tests strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		check.Must(t, err)
		tests.Write(text)
	}
	all := blocks(t, guide)
	for name := range all {
		if !strings.Contains(tests.String(), `"`+name+`")`) {
			t.Errorf("no test carries out the commands of %s that are marked %q", guide, name)
		}
	}
	short := blocks(t, "README.md")
	if len(short) == 0 {
		t.Error("README.md has no commands that are marked")
	}
	for name, got := range short {
		if diff := cmp.Diff(lines(all[name]), lines(got)); diff != "" {
			t.Errorf("the commands of README.md that are marked %q are not those of %s (-guide +README.md):\n%s", name, guide, diff)
		}
	}
}

// lines are those of a text, without their indentation.
func lines(text string) (all []string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		all = append(all, strings.TrimSpace(line))
	}
	return all
}
