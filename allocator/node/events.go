package node

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/pods"
)

// notice is a warning for people, an event on a Node or on a pod.
type notice struct {
	on                   *corev1.ObjectReference
	reason, action, note string
}

func (x notice) report(r events.Reporter) { r.Warn(x.on, x.reason, x.action, x.note) }

// tell has a notice reported once the lock is free.
func (s *state) tell(x notice) { s.news.notices = append(s.news.notices, x) }

func onNode(node, reason, action, format string, args ...any) notice {
	return notice{events.Node(node), reason, action, fmt.Sprintf(format, args...)}
}

const (
	textNoCidrBlocks = "InsufficientCidrBlocks: The specified subnet does not have enough free cidr blocks to satisfy the request"
	textNoAddresses  = "InsufficientFreeAddressesInSubnet: The specified subnet does not have enough free addresses to satisfy the request"
)

func noRoom(node, subnet string, k ledger.Kind) notice {
	reason, text := events.ReasonNoCidrBlocks, textNoCidrBlocks
	if k == ledger.SecondaryIP {
		reason, text = events.ReasonNoAddresses, textNoAddresses
	}
	return onNode(node, reason, events.ActionAssign, "%s (subnet %s)", text, subnet)
}

func unsupported(node string, err error) notice {
	return onNode(node, events.ReasonUnsupported, events.ActionDiscover, "The node cannot be managed: %v", err)
}

func unknownInstance(node, instance string) notice {
	return onNode(node, events.ReasonUnmanaged, events.ActionDiscover,
		"Slotwise gives no addresses on this node: EC2 knows no instance %s: it has gone, or Slotwise runs in another region or with another account's credentials", instance)
}

func notNitro(node string) notice {
	return onNode(node, events.ReasonUnsupported, events.ActionConfigure,
		"Prefixes need an instance built on the Nitro system; this node stays in secondary IP mode.")
}

func refused(node, why string) notice {
	return onNode(node, events.ReasonRefused, events.ActionAssign, "%s", why)
}

func reservationsUnread(node, subnet string, err error) notice {
	return onNode(node, events.ReasonRefused, events.ActionDiscover,
		"The CIDR reservations of subnet %s cannot be read, so it counts as having none: %v", subnet, err)
}

func drifted(node string, d ledger.Drift) notice {
	return onNode(node, events.ReasonDrift, events.ActionAssign,
		"Another client of EC2 changed the network interface: appeared %v, vanished %v, live pods left without their address: %d", d.Appeared, d.Vanished, len(d.Stranded))
}

func maxPodsLimited(names Names, onHost, addresses, want int) notice {
	return onNode(names.Offers, events.ReasonMaxPods, events.ActionConfigure,
		"The kubelet takes %d pods, %d of which are on the host's network, and the network interface has room for %d addresses: the others are of no use. Start it with -KubeletExtraArgs '--max-pods=%d' to use them all.",
		names.MaxPods, onHost, addresses, want)
}

func addressLost(p pods.Pod) notice {
	return notice{events.Pod(p.Key, p.UID), events.ReasonLost, events.ActionAssign, fmt.Sprintf(
		"Another client of EC2 has taken the pod's address %s from its node's network interface, and it cannot be taken back now: the pod has no network. Delete the pod, so that it gets another address.", p.Address)}
}

// hanging tells of a pod that was bound past the extender.
func hanging(p pods.Pod) notice {
	return notice{events.Pod(p.Key, p.UID), events.ReasonFailed, events.ActionAllocate, fmt.Sprintf(
		"Node %s has no address for the pod, which was bound there past Slotwise's extender: it gets the next one that comes free. Delete the pod to have it scheduled where there is one.", p.Node)}
}

// tellAfter is how long a pod that was bound past the extender may wait for an address
// before people are told.
const tellAfter = time.Minute

// TellHanging tells, once, of the pods that were bound to the node and have had no
// address for long: a scheduler without the extender has bound them, or they were made
// while Slotwise was off.
func (n *Node) TellHanging(now time.Time) {
	if n.core.summary.Load().Waiting == 0 {
		return
	}
	for _, p := range n.core.pods.WithoutAddress(now.Add(-tellAfter)) {
		if n.awaits(p.UID) && n.core.pods.Tell(p.UID, pods.Hangs) {
			hanging(p).report(n.core.shared.Events)
		}
	}
}

// awaits says that a pod waits for an address.
func (n *Node) awaits(pod types.UID) bool {
	n.core.mu.Lock()
	defer n.core.mu.Unlock()
	a, known := n.core.ledger.Holder(pod)
	return n.core.phase == ready && known && !a.IsValid()
}
