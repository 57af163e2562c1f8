package allocator

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/settings"
)

// warning is an event for people.
type warning struct {
	on                   runtime.Object
	reason, action, note string
}

func (w warning) report(r events.Reporter) { r.Warn(w.on, w.reason, w.action, w.note) }

func duplicateAddress(younger, older pods.Pod) warning {
	return warning{events.Pod(younger.Key, younger.UID), events.ReasonDuplicate, events.ActionAllocate, fmt.Sprintf(
		"The pod has the address %s, which the older pod %s has too: it is evicted.", younger.Address, older.Key)}
}

func duplicateNode(name, other, instance string) warning {
	return warning{events.Node(name), events.ReasonDuplicateNode, events.ActionDiscover, fmt.Sprintf(
		"The Node %s is the same EC2 instance, %s, and offers its addresses; this one offers none. Delete the Node that is left over.", other, instance)}
}

// turnedOff tells that Slotwise was turned off while there are nodes that it serves.
func turnedOff(configMap types.NamespacedName, nodes int) warning {
	return warning{events.ConfigMap(configMap), events.ReasonOff, events.ActionConfigure, fmt.Sprintf(
		"Slotwise is off: %s is not \"true\" any more. Pods that run keep their addresses; new ones on %d Windows nodes get none. Where the VPC CNI chart or add-on owns this ConfigMap, an upgrade sets it to \"false\": set enableWindowsIpam there.", settings.KeyEnabled, nodes)}
}
