// Package walk installs Slotwise as manifests/README.md says, by its very commands, with
// the real kubectl and from an empty cluster, uses it, and uninstalls it; and checks that
// manifests/monitoring/README.md leaves no message of Slotwise unexplained.
//
// Only tests come in.
package walk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/controlplane"
)

// root is the folder in which a user types the commands.
const root = "../.."

func TestMain(m *testing.M) {
	controlplane.Quiet()
	os.Exit(m.Run())
}

// guide has the commands that are carried out here.
const guide = "manifests/README.md"

func document(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	check.Must(t, err)
	return string(text)
}

// mark is how commands are marked with a name:
//
//	<!-- walk: name -->
//	```sh
var mark = regexp.MustCompile("(?s)<!-- walk: ([^\n]*) -->\\s*```sh\n(.*?)```")

// blocks are the commands in a document that are marked, by name.
func blocks(t *testing.T, file string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, found := range mark.FindAllStringSubmatch(document(t, file), -1) {
		if _, twice := all[found[1]]; twice {
			t.Fatalf("%s has two blocks of commands marked %q", file, found[1])
		}
		all[found[1]] = found[2]
	}
	return all
}

// block finds the commands in the guide that are marked with a name.
func block(t *testing.T, name string) string {
	t.Helper()
	commands, there := blocks(t, guide)[name]
	if !there {
		t.Fatalf("%s has no commands marked %q", guide, name)
	}
	return commands
}

// complaint is what kubectl says when it fails.
var complaint = regexp.MustCompile(`(?m)^(The .* is invalid|Error|error: ).*`)

// shell runs commands as an administrator types them, in the root of the
// repository, and returns what they print.
type shell struct {
	kubeconfig string
	files      string // where the commands leave their files
}

func (s shell) run(ctx context.Context, t *testing.T, commands string) (string, error) {
	t.Helper()
	manifests, err := filepath.Abs(filepath.Join(root, "manifests"))
	check.Must(t, err)
	tools, err := filepath.Abs(filepath.Join(root, "test", "tools", "bin"))
	check.Must(t, err)
	if err := os.Symlink(manifests, filepath.Join(s.files, "manifests")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "sh", "-e", "-c", commands)
	cmd.Dir = s.files
	path := strings.Join([]string{os.Getenv("KUBEBUILDER_ASSETS"), tools, os.Getenv("PATH")}, string(os.PathListSeparator))
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig, "PATH="+path)
	out, err := cmd.CombinedOutput()
	t.Logf("%s\n%s", commands, out)
	if err != nil {
		err = fmt.Errorf("%w: %s", err, complaint.Find(out))
	}
	return string(out), err
}

// runWhile runs commands, and beside them, one after the other, what the cluster
// would do meanwhile.
func (s shell) runWhile(t *testing.T, commands string, meanwhile ...func(context.Context) error) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	group.Go(func() error {
		for _, do := range meanwhile {
			if err := do(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	group.Go(func() error { return check.ErrorOf(s.run(ctx, t, commands)) })
	check.Must(t, group.Wait())
}
