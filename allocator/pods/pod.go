package pods

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

// Pod is what is kept of a bound pod.
type Pod struct {
	UID      types.UID
	Key      types.NamespacedName
	Node     string      // the Node object that it is bound to
	Address  netip.Addr  // invalid: it has none yet
	Kind     ledger.Kind // of the block that the address is out of
	Asks     int         // how much of the resource that Slotwise advertises, as scheduler and kubelet count it
	Wants    bool        // an address, by vpc.Resource
	Priority int32
	Created  time.Time
	OnHost   bool // on the host's network: it needs no address
	Ending   bool // it was deleted, and has yet to stop
}

// New keeps what is used of a pod. An address that cannot be read is an address that
// nobody knows: the pod is treated as having none.
func New(p *corev1.Pod, advertised corev1.ResourceName) Pod {
	asked := requests(p)
	kept := Pod{
		UID: p.UID, Key: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, Node: p.Spec.NodeName,
		Asks: quantity(asked, advertised), Wants: quantity(asked, vpc.Resource) > 0, Created: p.CreationTimestamp.Time,
		OnHost: p.Spec.HostNetwork, Ending: p.DeletionTimestamp != nil,
	}
	if p.Spec.Priority != nil {
		kept.Priority = *p.Spec.Priority
	}
	if parsed, err := vpc.ParseAddress(p.Annotations[vpc.Annotation]); err == nil && !kept.OnHost {
		kept.Address, kept.Kind = parsed.Addr(), kindOf(parsed)
	}
	return kept
}

// kindOf reads the kind off the annotation's value: an address out of a prefix is a /32.
func kindOf(address netip.Prefix) ledger.Kind {
	if address.Bits() == 32 {
		return ledger.Prefix
	}
	return ledger.SecondaryIP
}

// Strip drops what New and its like do not use.
func Strip(p *corev1.Pod) *corev1.Pod {
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

// Finished says that a pod needs its address no longer, though it still exists.
func Finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// lingers is how long something of a finished pod may still run: a phase that another
// client than its kubelet has written says nothing of the containers. A kubelet itself
// writes it only once they have stopped (Kubernetes 1.37, status_manager.go,
// mergePodStatus).
func lingers(p *corev1.Pod) time.Duration {
	running := func(c corev1.ContainerStatus) bool { return c.State.Running != nil }
	if !Finished(p) || !slices.ContainsFunc(p.Status.ContainerStatuses, running) {
		return 0
	}
	if s := p.Spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return corev1.DefaultTerminationGracePeriodSeconds * time.Second
}
