package main

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// addressAnnotation is where the Windows plugin of amazon-vpc-cni-plugins finds a
// pod's address, as <ip>/<mask length>. Without it there is no sandbox.
const addressAnnotation = "vpc.amazonaws.com/PrivateIPv4Address"

func hasAddress(p *corev1.Pod) bool {
	return p.Spec.HostNetwork || p.Annotations[addressAnnotation] != ""
}

// podIP is the address of a pod on a node.
func podIP(p *corev1.Pod, host string) string {
	if p.Spec.HostNetwork {
		return host
	}
	ip, _, _ := strings.Cut(p.Annotations[addressAnnotation], "/")
	return ip
}

// hostIP is the address of a node; empty where it has none.
func hostIP(n *corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

func ended(p *corev1.Pod) bool { return podutil.IsPodPhaseTerminal(p.Status.Phase) }

func deleted(p *corev1.Pod) bool { return p.DeletionTimestamp != nil }

// over says that a pod is to run no longer.
func over(p *corev1.Pod) bool { return ended(p) || deleted(p) }

// hasSandbox says that a pod has one by its status.
func hasSandbox(p *corev1.Pod) bool {
	_, c := podutil.GetPodCondition(&p.Status, corev1.PodReadyToStartContainers)
	return c != nil && c.Status == corev1.ConditionTrue
}

// duration reads an annotation of a pod.
func duration(p *corev1.Pod, annotation string, without time.Duration) time.Duration {
	text, set := p.Annotations[annotation]
	if !set {
		return without
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		klog.ErrorS(err, "An annotation counts for nothing", "pod", klog.KObj(p), "annotation", annotation)
		return without
	}
	return d
}
