package controllers

import (
	"errors"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"slotwise.dev/slotwise/allocator/config"
)

// TestPrime: the fleet knows the settings before the nodes, and all nodes; an error says
// that it does not.
func TestPrime(t *testing.T) {
	all := fake.NewClientBuilder().WithObjects(
		windowsNode("win-1", providerID, func(*corev1.Node) {}),
		windowsNode("hybrid", "eks-hybrid:///x", func(*corev1.Node) {}),
		windowsNode("win-2", "aws:///eu-west-1b/i-2", func(*corev1.Node) {}),
	).Build()
	for name, c := range map[string]struct {
		from client.Reader
		told []string
		err  error
	}{
		"all can be read": {from: all, told: []string{"apply", "add win-1", "seen win-1", "add win-2", "seen win-2"}},
		"a node cannot":   {from: failing{all, "win-2"}, told: []string{"apply", "add win-1", "seen win-1"}, err: errAPI},
		"settings cannot": {from: failing{all, config.ManagedConfigMap.Name}, err: errAPI},
	} {
		t.Run(name, func(t *testing.T) {
			var f fleet
			var r recorder
			settings := &Settings{
				Reader: c.from, Config: &config.Reader{ConfigMap: config.ManagedConfigMap},
				Fleet: &f, Events: r.reporter(), Log: logr.Discard(),
			}
			nodes := &Nodes{Reader: c.from, Fleet: &f, Events: r.reporter(), Log: logr.Discard()}
			if err := Prime(t.Context(), c.from, settings, nodes); !errors.Is(err, c.err) {
				t.Errorf("the error is %v, want %v", err, c.err)
			}
			f.want(t, c.told...)
		})
	}
}

// TestStripNode: a cached Node keeps what is used of it, and no more.
func TestStripNode(t *testing.T) {
	amount := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("110")}
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue}
	stripped, err := stripNode(&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: "win-1", Labels: map[string]string{"a": "b"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
			Annotations: map[string]string{"slotwise.dev/remaining-addresses": "5", "slotwise.dev/advertised-since": "then", "other": "x"},
		},
		Spec: corev1.NodeSpec{ProviderID: providerID},
		Status: corev1.NodeStatus{
			Capacity: amount, Allocatable: amount, Images: []corev1.ContainerImage{{SizeBytes: 1}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeDiskPressure}, ready, {Type: corev1.NodeMemoryPressure}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: "win-1", Labels: map[string]string{"a": "b"},
			Annotations: map[string]string{"slotwise.dev/remaining-addresses": "5", "slotwise.dev/advertised-since": "then"},
		},
		Spec:   corev1.NodeSpec{ProviderID: providerID},
		Status: corev1.NodeStatus{Capacity: amount, Allocatable: amount, Conditions: []corev1.NodeCondition{ready}},
	}
	if diff := cmp.Diff(want, stripped); diff != "" {
		t.Errorf("the Node differs (-want +got):\n%s", diff)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "iis", Annotations: map[string]string{"other": "x"}}}
	if other, err := stripNode(pod.DeepCopy()); err != nil || !cmp.Equal(other, any(pod)) {
		t.Errorf("a pod becomes %+v, %v; want it as it was", other, err)
	}
}

// TestCacheOptions: of ConfigMaps the cache holds those two alone.
func TestCacheOptions(t *testing.T) {
	own := types.NamespacedName{Namespace: "slotwise-system", Name: "slotwise"}
	for name, c := range map[string]struct {
		configMap types.NamespacedName
		want      map[string]string // field selector by namespace
	}{
		"one of its own": {own, map[string]string{
			"slotwise-system": "metadata.name=slotwise", "kube-system": "metadata.name=amazon-vpc-cni",
		}},
		"AWS's": {config.ManagedConfigMap, map[string]string{"kube-system": "metadata.name=amazon-vpc-cni"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]string{}
			for o, by := range CacheOptions(c.configMap).ByObject {
				if _, ok := o.(*corev1.ConfigMap); !ok {
					continue
				}
				for namespace, x := range by.Namespaces {
					got[namespace] = x.FieldSelector.String()
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("the selectors differ (-want +got):\n%s", diff)
			}
		})
	}
}
