package controlplane

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTool(t *testing.T) {
	assets, built := t.TempDir(), t.TempDir()
	for _, path := range []string{
		filepath.Join(assets, "etcd"), filepath.Join(built, "etcd"), filepath.Join(built, "kwok"),
	} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct{ assets, tool, want string }{
		"built":                     {"", "etcd", filepath.Join(built, "etcd")},
		"of KUBEBUILDER_ASSETS":     {assets, "etcd", filepath.Join(assets, "etcd")},
		"not of KUBEBUILDER_ASSETS": {assets, "kwok", filepath.Join(built, "kwok")},
		"nowhere":                   {assets, "kubectl", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(assetsVariable, test.assets)
			got, err := tool(built, test.tool)
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("tool is %q, error %v, want %q", got, err, test.want)
			}
		})
	}
}
