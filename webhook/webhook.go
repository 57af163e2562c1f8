// Package webhook makes Windows pods ask for their address: it finds out which
// pods are Windows pods and adds the resource vpc.amazonaws.com/PrivateIPv4Address
// to them as they are created.
//
// It has no state, asks nobody and knows nothing of nodes or addresses, so every
// replica serves it. Only cmd comes in, to register it; which requests the API
// server sends at all is said in manifests/webhook/webhook.yaml.
package webhook

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"slotwise.dev/slotwise/allocator/vpc"
)

// Where the webhooks are served.
const (
	Path = "/mutate-pods"
	// LenientPath refuses no pod: it is for the namespaces of the cluster itself, whose
	// pods never wait for Slotwise, and for mode observe.
	LenientPath = "/mutate-pods-lenient"
)

// Options configure the webhook.
type Options struct {
	// Enabled tells whether enable-windows-ipam is on at this moment. While it
	// is off every pod passes untouched; while it cannot be told, none passes,
	// or, on LenientPath, each as it is.
	Enabled func(context.Context) (bool, error)

	// Besides is another resource that the pods of SchedulerName ask for one of. Empty:
	// none.
	Besides corev1.ResourceName

	// SchedulerName is the scheduler that pods in need of an address get if they
	// asked for none. Empty: they keep what they have.
	SchedulerName string
}

// Register serves the webhooks on Path and LenientPath of the server. The scheme has
// to know core/v1.
func Register(server ctrlwebhook.Server, scheme *runtime.Scheme, o Options) {
	server.Register(Path, admission.WithDefaulter(scheme, defaulter{o}))
	server.Register(LenientPath, admission.WithDefaulter(scheme, lenient{defaulter{o}}))
}

type defaulter struct{ Options }

var _ admission.Defaulter[*corev1.Pod] = defaulter{}

// Default changes the pod as it is created. It refuses one only where it cannot tell
// what to do, and changes nothing of that.
func (d defaulter) Default(ctx context.Context, pod *corev1.Pod) error {
	if !NeedsAddress(pod) {
		return nil
	}
	if enabled, err := d.Enabled(ctx); err != nil || !enabled {
		return err
	}
	AddResource(pod, vpc.Resource)
	if d.SchedulerName != "" && asksForNoScheduler(pod) {
		pod.Spec.SchedulerName = d.SchedulerName
	}
	if d.Besides != "" && pod.Spec.SchedulerName == d.SchedulerName {
		AddResource(pod, d.Besides)
	}
	return nil
}

// asksForNoScheduler takes the default scheduler's name for no wish: the API
// server fills it in before webhooks run, so a pod that names it and a pod that
// names none look the same.
func asksForNoScheduler(pod *corev1.Pod) bool {
	return pod.Spec.SchedulerName == "" || pod.Spec.SchedulerName == corev1.DefaultSchedulerName
}

// lenient refuses no pod. That the webhook's failurePolicy is Ignore does not do it:
// an answer that refuses counts whatever that says.
type lenient struct{ defaulter }

func (l lenient) Default(ctx context.Context, pod *corev1.Pod) error {
	_ = l.defaulter.Default(ctx, pod)
	return nil
}
