package node

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/ledger"
)

// conditions says in words what the figures of a node mean. gives: Slotwise gives addresses
// there; exhausted: slots are empty for which the subnet has nothing.
func conditions(x v1alpha1.NodeSlotsStatus, gives, exhausted bool) []metav1.Condition {
	left, kind := x.SecondaryIPs, "secondary IPs"
	if x.Mode == ledger.SecondaryIP.String() {
		left, kind = x.Prefixes, "prefixes"
	}
	return []metav1.Condition{
		condition(v1alpha1.ConditionReady, gives,
			"GivesAddresses", "Slotwise gives addresses on this node.",
			"Off", "Slotwise gives no addresses: it is off, only observes, or another allocator is at work."),
		condition(v1alpha1.ConditionConverged, left == 0,
			"OneKind", fmt.Sprintf("All slots in use have what mode %s gives.", x.Mode),
			"TwoKinds", fmt.Sprintf("Slots still have %s from before the switch to mode %s: they go as their pods end.", kind, x.Mode)),
		condition(v1alpha1.ConditionSubnetExhausted, exhausted,
			"NothingToAssign", fmt.Sprintf("Slots are empty, and subnet %s has nothing left for mode %s: see slotwise subnets.", x.Subnet, x.Mode),
			"EnoughToAssign", "No slot is empty for lack of anything in the subnet."),
		condition(v1alpha1.ConditionMaxPodsLimited, x.Usable < x.Remaining,
			"MaxPods", "The kubelet's max-pods is less than the pods that could get an address.",
			"Addresses", "Every pod that could get an address is within the kubelet's max-pods."),
	}
}

func condition(of string, is bool, reason, message, otherReason, otherMessage string) metav1.Condition {
	c := metav1.Condition{Type: of, Status: metav1.ConditionTrue, Reason: reason, Message: message}
	if !is {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, otherReason, otherMessage
	}
	return c
}
