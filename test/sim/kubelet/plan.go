package kubelet

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Annotations by which a pod says what to play, each a duration, as those of
// test/controlplane do.
const (
	// AddressAnnotation is where the Windows CNI plugin finds a pod's address, as
	// <ip>/<mask length>. Without it there is no sandbox.
	AddressAnnotation = "vpc.amazonaws.com/PrivateIPv4Address"
	// StartAfterAnnotation makes a pod start that long after it could, as one whose image
	// is pulled first.
	StartAfterAnnotation = "kwok.slotwise.dev/start-after"
	// CompleteAfterAnnotation makes a pod succeed that long after its start.
	CompleteAfterAnnotation = "kwok.slotwise.dev/complete-after"
	// FailAfterAnnotation makes a pod fail that long after its start.
	FailAfterAnnotation = "kwok.slotwise.dev/fail-after"
	// StopAfterAnnotation makes the containers of a deleted pod stop only that long
	// after, if its grace period lets them.
	StopAfterAnnotation = "kwok.slotwise.dev/stop-after"
	// TeardownAnnotation is how long the sandbox outlives its containers, whatever
	// Options say.
	TeardownAnnotation = "kwok.slotwise.dev/teardown"
)

// duration reads an annotation of a pod. One that does not parse counts for nothing.
func duration(p *corev1.Pod, annotation string, without time.Duration) time.Duration {
	text, set := p.Annotations[annotation]
	if !set {
		return without
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return without
	}
	return d
}

// ends is when a pod that starts now ends by itself, and in which phase; never: zero.
func ends(p *corev1.Pod, now time.Time) (at time.Time, phase corev1.PodPhase) {
	if d := duration(p, CompleteAfterAnnotation, -1); d >= 0 {
		return now.Add(d), corev1.PodSucceeded
	}
	if d := duration(p, FailAfterAnnotation, -1); d >= 0 {
		return now.Add(d), corev1.PodFailed
	}
	return time.Time{}, ""
}

func hasAddress(p *corev1.Pod) bool {
	return p.Spec.HostNetwork || p.Annotations[AddressAnnotation] != ""
}

// address is what the CNI plugin reads for a pod; empty: that of the host.
func address(p *corev1.Pod) string {
	if p.Spec.HostNetwork {
		return ""
	}
	ip, _, _ := strings.Cut(p.Annotations[AddressAnnotation], "/")
	return ip
}

func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func deleted(p *corev1.Pod) bool { return p.DeletionTimestamp != nil }

// over says that a pod is to run no longer.
func over(p *corev1.Pod) bool { return ended(p) || deleted(p) }

// grace is how long the containers of a deleted pod may take to stop.
func grace(p *corev1.Pod) time.Duration {
	if p.DeletionGracePeriodSeconds == nil {
		return 0
	}
	return time.Duration(*p.DeletionGracePeriodSeconds) * time.Second
}
