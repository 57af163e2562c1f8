package testenv

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// Overlay is one of the ways to install Slotwise that manifests/ has.
type Overlay struct {
	kustomization string
	// webhook is the kustomization of the webhook's configuration.
	webhook string
	// configMap is what users configure.
	configMap types.NamespacedName
	// scheduler is the name of the scheduler that calls the extender.
	scheduler string
	// schedulerConfig is the file of that scheduler's configuration.
	schedulerConfig string
	// schedulerAccount is the ServiceAccount of a scheduler that runs in the
	// cluster; empty for the cluster's own.
	schedulerAccount string
}

// The overlays as they are shipped.
var (
	SelfManaged = Overlay{
		kustomization:   "overlays/self-managed",
		webhook:         "webhook",
		configMap:       ConfigMap,
		scheduler:       corev1.DefaultSchedulerName,
		schedulerConfig: "overlays/self-managed/kube-scheduler-configuration.yaml",
	}
	EKS = Overlay{
		kustomization:    "overlays/eks",
		webhook:          "webhook",
		configMap:        types.NamespacedName{Namespace: Namespace, Name: "slotwise"},
		scheduler:        "slotwise-scheduler",
		schedulerConfig:  "overlays/eks/kube-scheduler-configuration.yaml",
		schedulerAccount: "slotwise-scheduler",
	}
	// Observe needs another allocator; see test/awsallocator.
	Observe = Overlay{
		kustomization:    "overlays/observe",
		webhook:          "overlays/observe/webhook",
		configMap:        ConfigMap,
		scheduler:        EKS.scheduler,
		schedulerConfig:  EKS.schedulerConfig,
		schedulerAccount: "slotwise-scheduler",
	}
)

// shippedArgs are the arguments of slotwise in its Deployment.
func shippedArgs(objects []*unstructured.Unstructured) ([]string, error) {
	for _, o := range objects {
		if o.GetKind() != "Deployment" || o.GetName() != "slotwise" {
			continue
		}
		containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		if err != nil {
			return nil, err
		}
		args, _, err := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
		return args, err
	}
	return nil, errors.New("there is no Deployment slotwise among the manifests")
}
