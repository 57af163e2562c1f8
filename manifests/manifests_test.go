package manifests

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/test/controlplane"
)

// kustomizations returns all that this folder holds.
func kustomizations(t *testing.T) (dirs []string) {
	t.Helper()
	err := fs.WalkDir(files, ".", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Base(path) == "kustomization.yaml" {
			dirs = append(dirs, filepath.Dir(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// TestEveryKustomizationApplies: the API server takes each object of each
// kustomization, and knows each field.
func TestEveryKustomizationApplies(t *testing.T) {
	c, err := client.New(cluster.Admin, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, kustomization := range kustomizations(t) {
		t.Run(kustomization, func(t *testing.T) {
			objects, err := Build(kustomization)
			if err != nil {
				t.Fatal(err)
			}
			if err := Apply(t.Context(), client.NewDryRunClient(c), objects); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestApplyIsStrict: Apply, on which the test above rests, refuses a field that
// the API server does not know.
func TestApplyIsStrict(t *testing.T) {
	c, err := client.New(cluster.Admin, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := Build("base")
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		if err := unstructured.SetNestedField(object.Object, "yes", "spec", "template", "spec", "misspelt"); err != nil {
			t.Fatal(err)
		}
		err := Apply(t.Context(), client.NewDryRunClient(c), []*unstructured.Unstructured{object})
		if err == nil || !strings.Contains(err.Error(), "misspelt") {
			t.Errorf("the unknown field is not refused: %v", err)
		}
	}
}

// TestSchedulerConfiguration: a real kube-scheduler takes the file as it stands,
// with certificates where this machine has them, and knows each field.
func TestSchedulerConfiguration(t *testing.T) {
	text, err := File("overlays/self-managed/kube-scheduler-configuration.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := certutil.GenerateSelfSignedCertKey("localhost", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{"ca.crt": cert, "tls.crt": cert, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text = bytes.ReplaceAll(text, []byte("/etc/kubernetes/slotwise"), []byte(dir))
	scheduler, err := cluster.StartScheduler(t.Context(), controlplane.Scheduler{Config: text})
	if err != nil {
		t.Fatal(err)
	}
	if err := scheduler.Stop(); err != nil {
		t.Error(err)
	}
}
