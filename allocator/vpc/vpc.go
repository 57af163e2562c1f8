// Package vpc holds the words that Slotwise shares with the cluster: the name
// of the resource that counts a Windows pod's address, the annotation that
// carries the address to the Windows CNI plugin, and the labels that say what
// system a node runs.
//
// Every package may import it. Nothing here has state or does I/O.
package vpc

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

const (
	// Resource is the extended resource of which each Windows pod that needs an
	// address asks for exactly one, and which nodes advertise.
	Resource corev1.ResourceName = "vpc.amazonaws.com/PrivateIPv4Address"

	// TrueResource is what Windows pods ask for besides, and nodes advertise, in mode
	// observe: there AWS's controller advertises its constant under Resource, and
	// kube-scheduler evicts pods for others only where a resource is used up that
	// both ask for.
	TrueResource corev1.ResourceName = "slotwise.dev/PrivateIPv4Address"

	// Annotation is the key under which a pod, and the Binding that places it,
	// carries the pod's address. The Windows CNI plugin reads it.
	Annotation = "vpc.amazonaws.com/PrivateIPv4Address"

	// LabelOS is the node label that names the operating system.
	LabelOS = corev1.LabelOSStable

	// LabelOSBeta is the older spelling of LabelOS. Kubernetes deprecated it in
	// 1.14, but manifests still select by it.
	LabelOSBeta = "beta.kubernetes.io/os"

	// Windows is the value that both labels have on a Windows node.
	Windows = string(corev1.Windows)
)

// ParseAddress reads a value of Annotation. It is strict: exactly one IPv4
// address with a mask length, in the one spelling that String of the result gives it.
// The length is that of the mask which the CNI plugin gives the pod's endpoint: 32 for
// an address out of a prefix, the subnet's for a secondary IP. Host bits are kept, so
// Addr of the result is the pod's address.
func ParseAddress(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() {
		return netip.Prefix{}, fmt.Errorf("%q is not one IPv4 address with a mask length, such as 10.0.1.5/32", s)
	}
	return p, nil
}
