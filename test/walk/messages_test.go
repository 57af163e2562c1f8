package walk

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"slotwise.dev/slotwise/test/check"
)

// handbook is for whoever meets a message of Slotwise.
const handbook = "manifests/monitoring/README.md"

// TestTroubleshooting: the handbook has every text by which Slotwise says that
// something is wrong, so that whoever searches for it finds what to do. Of texts with
// a fix after a colon it has at least one of the two parts.
func TestTroubleshooting(t *testing.T) {
	text := strings.Join(strings.Fields(document(t, handbook)), " ")
	for name, c := range map[string]struct {
		file    string
		pattern string // with the text as its group
	}{
		"reasons of nodes":     {"allocator/capacity/reason.go", `(?m)^\t\w+:\s+"(\w+ .*)",$`},
		"binds on a node":      {"allocator/node/bind.go", `err\w+\s+= errors.New\("(.*)"\)`},
		"binds that are sent":  {"allocator/binding/binding.go", `err\w+\s+= errors.New\("(.*)"\)`},
		"binds overtaken":      {"allocator/pods/attempt.go", `Err\w+\s+= errors.New\("(.*)"\)`},
		"writes":               {"allocator/kube/kube.go", `Err\w+\s+= errors.New\("(.*)"\)`},
		"bind as a request":    {"extender/bind.go", `errors.New\("(.*)"\)`},
		"filters of a sample":  {"extender/filter.go", `errors.New\("(.*)"\)`},
		"filter as a request":  {"extender/request.go", `errors.New\("(the request .*)"`},
		"pods in requests":     {"extender/pod.go", `errors.New\("(a pod .*)"`},
		"standbys":             {"extender/handler.go", `errors.New\("(.*)"`},
		"refusals of settings": {"manifests/base/settings-guard.yaml", `\+ ' (cannot be read; want [a-z" ]+)`},
		"events":               {"allocator/events/events.go", `Reason\w+\s+= "(\w+)"`},
		"alerts":               {"manifests/monitoring/rules.yaml", `- alert: (\w+)`},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join(root, c.file))
			check.Must(t, err)
			found := regexp.MustCompile(c.pattern).FindAllStringSubmatch(string(source), -1)
			if len(found) == 0 {
				t.Fatalf("%s has no such text", c.file)
			}
			for _, f := range found {
				if !mentions(text, f[1]) {
					t.Errorf("%s does not mention %q of %s", handbook, f[1], c.file)
				}
			}
		})
	}
}

// mentions says that a text has a message, or the part of it before or after its
// first colon.
func mentions(text, message string) bool {
	for _, part := range append(strings.SplitN(message, ":", 2), message) {
		if part = strings.TrimSpace(part); part != "" && strings.Contains(text, part) {
			return true
		}
	}
	return false
}
