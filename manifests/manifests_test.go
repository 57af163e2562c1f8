package manifests

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/webhook"
)

// kustomizations returns all that this folder holds, but for components, which are
// built with an overlay.
func kustomizations(t *testing.T) (dirs []string) {
	t.Helper()
	err := fs.WalkDir(files, ".", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Base(path) == "kustomization.yaml" && !strings.HasPrefix(path, "components/") {
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
// kustomization, and knows each field. Those of the Prometheus Operator, which is
// not there, are looked at in test/monitoring.
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
			objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool {
				return o.GroupVersionKind().Group == "monitoring.coreos.com"
			})
			if err := Apply(t.Context(), client.NewDryRunClient(c), objects); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInWhoseWay: no overlay has anything that calls Slotwise as a pod is created; that
// is applied by itself, once Slotwise is there. In mode observe it refuses no pod.
func TestInWhoseWay(t *testing.T) {
	for _, overlay := range []string{"self-managed", "eks", "observe"} {
		if webhooks := webhooksOf(t, "overlays/"+overlay); len(webhooks) > 0 {
			t.Errorf("the overlay %s has the webhook %s", overlay, webhooks[0].Name)
		}
	}
	for kustomization, want := range map[string][]admissionregistrationv1.FailurePolicyType{
		"webhook":                  {admissionregistrationv1.Fail, admissionregistrationv1.Ignore},
		"overlays/observe/webhook": {admissionregistrationv1.Ignore, admissionregistrationv1.Ignore},
	} {
		var got []admissionregistrationv1.FailurePolicyType
		for _, w := range webhooksOf(t, kustomization) {
			got = append(got, *w.FailurePolicy)
			if lenient := *w.ClientConfig.Service.Path == webhook.LenientPath; lenient != (*w.FailurePolicy == admissionregistrationv1.Ignore) {
				t.Errorf("%s: %s is %s at %s", kustomization, w.Name, *w.FailurePolicy, *w.ClientConfig.Service.Path)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the failure policies are %v, want %v", kustomization, got, want)
		}
	}
}

func webhooksOf(t *testing.T, kustomization string) (webhooks []admissionregistrationv1.MutatingWebhook) {
	t.Helper()
	objects, err := Build(kustomization)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.GetKind() != "MutatingWebhookConfiguration" {
			continue
		}
		var c admissionregistrationv1.MutatingWebhookConfiguration
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &c); err != nil {
			t.Fatal(err)
		}
		webhooks = append(webhooks, c.Webhooks...)
	}
	return webhooks
}

// TestImagesAreFilledInByHand: what is shipped can be pulled from nowhere, least of all
// a scheduler of a version that is not the cluster's.
func TestImagesAreFilledInByHand(t *testing.T) {
	for _, overlay := range []string{"self-managed", "eks", "observe"} {
		objects, err := Build("overlays/" + overlay)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.GetKind() != "Deployment" {
				continue
			}
			containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
			if err != nil {
				t.Fatal(err)
			}
			image := containers[0].(map[string]any)["image"].(string)
			if image != "registry.example.com/slotwise:v1" && image != "registry.k8s.io/kube-scheduler:the-version-of-the-cluster" {
				t.Errorf("%s: the image of %s is %s", overlay, o.GetName(), image)
			}
		}
	}
}

// TestComponents: each component can be added to the overlays that it is for, as its
// first lines say, and the API server takes all of it.
func TestComponents(t *testing.T) {
	c, err := client.New(cluster.Admin, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for component, overlays := range map[string][]string{
		"admission-policy":     {"self-managed"},
		"admission-policy-eks": {"eks"},
		"https-proxy":          {"self-managed", "eks", "observe"},
	} {
		for _, overlay := range overlays {
			t.Run(component+" in "+overlay, func(t *testing.T) {
				plain, err := Build("overlays/" + overlay)
				if err != nil {
					t.Fatal(err)
				}
				objects := buildWith(t, overlay, component)
				if cmp.Equal(plain, objects) {
					t.Error("it changes nothing")
				}
				if err := Apply(t.Context(), client.NewDryRunClient(c), objects); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// buildWith builds an overlay to which a component has been added.
func buildWith(t *testing.T, overlay, component string) []*unstructured.Unstructured {
	t.Helper()
	disk, err := inMemory()
	if err != nil {
		t.Fatal(err)
	}
	path := "overlays/" + overlay + "/kustomization.yaml"
	text, err := disk.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(path, append(text, "\ncomponents: [../../components/"+component+"]\n"...)); err != nil {
		t.Fatal(err)
	}
	objects, err := build(disk, "overlays/"+overlay)
	if err != nil {
		t.Fatal(err)
	}
	return objects
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

// TestSchedulerConfigurations: a real kube-scheduler takes each file as it stands,
// with certificates where this machine has them, and knows each field.
func TestSchedulerConfigurations(t *testing.T) {
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
	for _, overlay := range []string{"self-managed", "eks"} {
		t.Run(overlay, func(t *testing.T) {
			text := bytes.ReplaceAll(schedulerConfiguration(t, overlay), []byte("/etc/kubernetes/slotwise"), []byte(dir))
			scheduler, err := cluster.StartScheduler(t.Context(), controlplane.Scheduler{Name: overlay, Config: text, LeaderElection: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := scheduler.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSameExtender: whichever scheduler calls it, the extender is called in the
// same way.
func TestSameExtender(t *testing.T) {
	type configuration struct {
		PercentageOfNodesToScore int
		Extenders                []map[string]any
	}
	var selfManaged, eks configuration
	for overlay, c := range map[string]*configuration{"self-managed": &selfManaged, "eks": &eks} {
		if err := yaml.Unmarshal(schedulerConfiguration(t, overlay), c); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(selfManaged, eks); diff != "" || len(eks.Extenders) != 1 {
		t.Errorf("%d extenders; differences from self-managed to eks:\n%s", len(eks.Extenders), diff)
	}
}

func schedulerConfiguration(t *testing.T, overlay string) []byte {
	t.Helper()
	text, err := File("overlays/" + overlay + "/kube-scheduler-configuration.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return text
}
