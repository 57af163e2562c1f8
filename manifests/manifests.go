// Package manifests is how Slotwise is installed: the kustomizations in this
// folder, for `kubectl apply -k`. The Go side of it builds them without kubectl,
// so that tests and the demo install the very same files.
//
// Only tests and the demo come in; the program itself knows nothing of it.
package manifests

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

//go:embed base components iam monitoring overlays webhook
var files embed.FS

// fieldOwner is under whose name the API server keeps the fields of Apply.
const fieldOwner = "slotwise-install"

// Build returns the objects of a kustomization of this folder, such as "base" or
// "overlays/self-managed", in the order in which they are to be applied.
func Build(kustomization string) ([]*unstructured.Unstructured, error) {
	disk, err := inMemory()
	if err != nil {
		return nil, err
	}
	return build(disk, kustomization)
}

func build(disk filesys.FileSystem, kustomization string) ([]*unstructured.Unstructured, error) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, kustomization)
	if err != nil {
		return nil, fmt.Errorf("build kustomization %s: %w", kustomization, err)
	}
	var objects []*unstructured.Unstructured
	for _, r := range built.Resources() {
		text, err := r.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("build kustomization %s: %w", kustomization, err)
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(text); err != nil {
			return nil, fmt.Errorf("build kustomization %s: %w", kustomization, err)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// Apply writes the objects to the API server, as `kubectl apply --server-side`
// does. Field validation is strict: an unknown or doubled field is an error.
func Apply(ctx context.Context, c client.Client, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		configuration := client.ApplyConfigurationFromUnstructured(object.DeepCopy())
		if err := c.Apply(ctx, configuration, client.FieldOwner(fieldOwner), client.ForceOwnership); err != nil {
			return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// RedirectWebhook changes the webhook's configuration among the objects so that
// the API server calls it at a base URL, such as https://127.0.0.1:9443, rather
// than through its Service: for clusters on one machine, where Services lead
// nowhere. ca, PEM-encoded, vouches for the server; nil leaves it open.
func RedirectWebhook(objects []*unstructured.Unstructured, url string, ca []byte) error {
	for _, object := range objects {
		if object.GetKind() != "MutatingWebhookConfiguration" {
			continue
		}
		configuration := &admissionregistrationv1.MutatingWebhookConfiguration{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, configuration); err != nil {
			return err
		}
		for i := range configuration.Webhooks {
			service := configuration.Webhooks[i].ClientConfig.Service
			configuration.Webhooks[i].ClientConfig = admissionregistrationv1.WebhookClientConfig{
				URL:      new(url + *service.Path),
				CABundle: ca,
			}
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(configuration)
		if err != nil {
			return err
		}
		object.Object = content
	}
	return nil
}

// File returns a file of this folder as it stands.
func File(path string) ([]byte, error) { return files.ReadFile(path) }

// inMemory copies the files to where kustomize can read them.
func inMemory() (filesys.FileSystem, error) {
	memory := filesys.MakeFsInMemory()
	return memory, fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		return memory.WriteFile(path, text)
	})
}
