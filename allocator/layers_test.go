package allocator_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "slotwise.dev/slotwise/"

// layers of packages, the lowest first. A package imports only packages of layers below
// its own, so that what is below can be read, and tested, without what is above, and
// siblings never know each other. README.md in this folder says what each is for.
var layers = [][]string{
	{"allocator/vpc", "allocator/ledger", "allocator/api/v1alpha1"},
	{"allocator/subnet", "allocator/warmpool", "allocator/capacity", "allocator/policy"},
	{"allocator/settings", "allocator/cloud", "allocator/events"},
	{"allocator/kube", "allocator/work", "allocator/config", "allocator/leader", "allocator/metrics", "allocator/metrics/access"},
	{"allocator/budget", "allocator/pods", "allocator/advertise", "allocator/nodeslots", "allocator/annotate", "allocator/evict", "allocator/preflight"},
	{"allocator/node", "allocator/binding", "allocator/preemption", "allocator/survey", "allocator/survey/output"},
	{"allocator", "allocator/survey/checkup", "allocator/survey/draw", "allocator/survey/table"},
	{"allocator/controllers", "allocator/survey/page", "extender", "webhook", "certs"},
	{"cmd/slotwise"},
}

// transport packages know what a node can give, and nothing of how that comes about.
var transport = map[string][]string{
	"extender": {"allocator/vpc", "allocator/ledger", "allocator/capacity"},
	"webhook":  {"allocator/vpc"},
	"certs":    {},
}

func TestImportsPointDown(t *testing.T) {
	layer := map[string]int{}
	for i, all := range layers {
		for _, p := range all {
			layer[p] = i
		}
	}
	for p, imports := range imports(t) {
		own, known := layer[p]
		if !known {
			t.Errorf("%s is in no layer: add it to the one that it belongs to", p)
		}
		for _, q := range imports {
			if below, known := layer[q]; !known || below >= own {
				t.Errorf("%s (layer %d) imports %s (layer %d)", p, own, q, below)
			}
		}
	}
}

func TestTransportKnowsNoFleet(t *testing.T) {
	all := imports(t)
	for p, allowed := range transport {
		for _, q := range all[p] {
			if !strings.Contains(strings.Join(allowed, " ")+" ", q+" ") {
				t.Errorf("%s imports %s", p, q)
			}
		}
	}
}

// imports are the imports within the module of all packages that make up the program.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`,
		module+"allocator/...", module+"cmd/...", module+"extender/...", module+"webhook/...", module+"certs/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		p := strings.TrimPrefix(words[0], module)
		all[p] = nil
		for _, q := range words[1:] {
			if inside, ours := strings.CutPrefix(q, module); ours {
				all[p] = append(all[p], inside)
			}
		}
	}
	return all
}
