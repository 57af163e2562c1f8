package allocator

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	helper "k8s.io/component-helpers/resource"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/vpc"
)

// pod is what is kept of a pod on a Windows node.
type pod struct {
	uid      types.UID
	key      types.NamespacedName
	on       string      // its Node
	address  netip.Addr  // invalid: it has none yet
	kind     ledger.Kind // of the block that it is out of
	asks     int         // how much of the resource that Slotwise advertises, as scheduler and kubelet count it
	wants    bool        // an address, by vpc.Resource
	priority int32
	created  time.Time
	onHost   bool      // on the host's network: it needs no address
	ending   bool      // it was deleted, and has yet to stop
	told     bool      // that it has lost its address
	since    time.Time // when it was first seen without an address; zero: it has one, or needs none
	hangs    bool      // it was told that it waits for one
}

// newPod keeps what is used of a pod. An address that cannot be read is an
// address that nobody knows: the pod is treated as having none.
func newPod(p *corev1.Pod, advertised corev1.ResourceName) pod {
	asked := requests(p)
	kept := pod{
		uid: p.UID, key: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, on: p.Spec.NodeName,
		asks: quantity(asked, advertised), wants: quantity(asked, vpc.Resource) > 0, created: p.CreationTimestamp.Time,
		onHost: p.Spec.HostNetwork, ending: p.DeletionTimestamp != nil,
	}
	if p.Spec.Priority != nil {
		kept.priority = *p.Spec.Priority
	}
	if parsed, err := vpc.ParseAddress(p.Annotations[vpc.Annotation]); err == nil && !kept.onHost {
		kept.address, kept.kind = parsed.Addr(), kindOf(parsed)
	}
	return kept
}

// kindOf reads the annotation's value as format writes it.
func kindOf(address netip.Prefix) ledger.Kind {
	if address.Bits() == 32 {
		return ledger.Prefix
	}
	return ledger.SecondaryIP
}

// strip drops what newPod and its like do not use.
func strip(p *corev1.Pod) *corev1.Pod {
	s := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion,
		CreationTimestamp: p.CreationTimestamp, DeletionTimestamp: p.DeletionTimestamp,
	}}
	if a, has := p.Annotations[vpc.Annotation]; has {
		s.Annotations = map[string]string{vpc.Annotation: a}
	}
	s.Spec.NodeName, s.Spec.HostNetwork, s.Spec.Priority = p.Spec.NodeName, p.Spec.HostNetwork, p.Spec.Priority
	if asked := requests(p); asked != nil {
		maps.DeleteFunc(asked, func(name corev1.ResourceName, _ resource.Quantity) bool { return !counts(name) })
		s.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: asked}}}
	}
	s.Status.Phase = p.Status.Phase
	if d := lingers(p); d > 0 {
		s.Spec.TerminationGracePeriodSeconds = p.Spec.TerminationGracePeriodSeconds
		s.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	}
	return s
}

func counts(name corev1.ResourceName) bool { return name == vpc.Resource || name == vpc.TrueResource }

// requests are what a pod asks for in all, whichever of its containers do, where it
// asks for addresses: what the scheduler and the kubelet count. Most pods of a cluster
// do not, and are not to cost the adding up.
func requests(p *corev1.Pod) corev1.ResourceList {
	asks := func(c corev1.Container) bool {
		return quantity(c.Resources.Requests, vpc.Resource)+quantity(c.Resources.Requests, vpc.TrueResource) > 0
	}
	if !slices.ContainsFunc(p.Spec.Containers, asks) && !slices.ContainsFunc(p.Spec.InitContainers, asks) {
		return nil
	}
	return helper.PodRequests(p, helper.PodResourcesOptions{})
}

func quantity(l corev1.ResourceList, name corev1.ResourceName) int {
	q := l[name]
	return int(q.Value())
}

// finished says that a pod needs its address no longer, though it still exists.
func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// lingers is how long something of a finished pod may still run: a phase that another
// client than its kubelet has written says nothing of the containers. A kubelet itself
// writes it only once they have stopped (Kubernetes 1.37, status_manager.go,
// mergePodStatus).
func lingers(p *corev1.Pod) time.Duration {
	running := func(c corev1.ContainerStatus) bool { return c.State.Running != nil }
	if !finished(p) || !slices.ContainsFunc(p.Status.ContainerStatuses, running) {
		return 0
	}
	if s := p.Spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return corev1.DefaultTerminationGracePeriodSeconds * time.Second
}
