package manifests

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	schedulerconfig "k8s.io/kube-scheduler/config/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
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

// TestSchedulerConfiguration: the file is a KubeSchedulerConfiguration without an
// unknown field, and says what the design rests on.
func TestSchedulerConfiguration(t *testing.T) {
	text, err := File("overlays/self-managed/kube-scheduler-configuration.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := &schedulerconfig.KubeSchedulerConfiguration{}
	if err := yaml.UnmarshalStrict(text, config); err != nil {
		t.Fatal(err)
	}
	if len(config.Extenders) != 1 {
		t.Fatalf("%d extenders, want one", len(config.Extenders))
	}
	e := config.Extenders[0]
	if !e.NodeCacheCapable || e.Ignorable || !e.EnableHTTPS || e.TLSConfig == nil || e.TLSConfig.CAFile == "" || e.TLSConfig.CertFile == "" {
		t.Errorf("extender: %+v", e)
	}
	if p := config.PercentageOfNodesToScore; p == nil || *p != 100 {
		t.Errorf("percentageOfNodesToScore is %v, want 100", p)
	}
}
