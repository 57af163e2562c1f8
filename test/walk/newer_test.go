package walk

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/controlplane"
)

// TestNewerScheduler: one that is newer than the cluster never gets ready, as the guide
// says; not for want of rights, but of API versions.
func TestNewerScheduler(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("scheduler and cluster are of one version")
	}
	c := start(t)
	newest, err := filepath.Abs(filepath.Join(root, "test", "tools", "bin", "kube-scheduler"))
	check.Must(t, err)
	version, err := c.Client.Discovery().ServerVersion()
	check.Must(t, err)
	if out, err := exec.CommandContext(t.Context(), newest, "--version").Output(); err != nil || strings.Contains(string(out), version.GitVersion) {
		t.Skipf("none is newer: %s (%v)", out, err)
	}
	s := controlplane.Scheduler{Name: "newer", Path: newest, Kubeconfig: c.AdminKubeconfig}
	if _, err := c.StartScheduler(t.Context(), s); err == nil {
		t.Fatal("it is ready")
	}
	log, err := os.ReadFile(filepath.Join(c.LogDir(), s.Name+".log"))
	check.Must(t, err)
	missing := regexp.MustCompile(`failed to list \*?([\w.]+): the server could not find the requested resource`).FindAllSubmatch(log, -1)
	if len(missing) == 0 {
		t.Fatalf("it is not ready after a minute, but not for want of an API version; its log is\n%s", log)
	}
	kinds := map[string]bool{}
	for _, m := range missing {
		kinds[string(m[1])] = true
	}
	t.Log("the cluster does not have", slices.Sorted(maps.Keys(kinds)))
}
