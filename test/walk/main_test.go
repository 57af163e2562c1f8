// Package walk installs Slotwise as README.md says, by its very commands, with the
// real kubectl and from an empty cluster, uses it, and uninstalls it; and checks that
// README.md leaves no message of Slotwise unexplained.
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

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	check.Must(t, err)
	return string(text)
}

// block finds the commands in README.md that are marked with a name:
//
//	<!-- walk: name -->
//	```sh
func block(t *testing.T, name string) string {
	t.Helper()
	marked := regexp.MustCompile("(?s)<!-- walk: " + regexp.QuoteMeta(name) + " -->\\s*```sh\n(.*?)```")
	found := marked.FindStringSubmatch(readme(t))
	if found == nil {
		t.Fatalf("README.md has no commands marked %q", name)
	}
	return found[1]
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
