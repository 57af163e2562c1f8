package metrics

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table into manifests/monitoring/README.md")

const readme = "../../manifests/monitoring/README.md"

// What the table stands between.
const (
	begin = "<!-- metrics: go test ./test/metrics -update -->\n"
	end   = "<!-- metrics end -->\n"
)

// TestREADME: the table of metrics in manifests/monitoring/README.md is what the code says.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, opened := strings.Cut(string(text), begin)
	got, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		t.Fatalf("%s has no %q or no %q", readme, begin, end)
	}
	want := table(catalogue(t))
	if *update {
		if err := os.WriteFile(readme, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table in %s is not what the code says; `make generate` writes it (-want +got):\n%s", readme, diff)
	}
}

func table(all []metric) string {
	var b strings.Builder
	b.WriteString("| metric | type | meaning |\n|---|---|---|\n")
	for _, m := range all {
		name := m.name
		if len(m.labels) > 0 {
			name += "{" + strings.Join(m.labels, ",") + "}"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, m.kind, m.help)
	}
	return b.String()
}
