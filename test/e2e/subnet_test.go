package e2e

import (
	"net/netip"
	"testing"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// TestSubnetWithoutFreeBlock fragments one of two subnets, so that it has free
// addresses by the hundred and not one free /28. Pods go to the nodes of the
// other subnet; once there is room again, they go here too.
func TestSubnetWithoutFreeBlock(t *testing.T) {
	t.Parallel()
	const (
		group  = "fragments"
		perENI = 2 * 16 // of a node with two slots
	)
	e := shared(t)
	namespace := e.namespace(t)
	e.subnet(t, "subnet-fragmented", 41, 24)
	e.subnet(t, "subnet-whole", 42, 24)
	add := func(name, subnet string) string {
		check.Must(t, check.ErrorOf(e.AddNode(t.Context(), name, twoSlots.Name, subnet, testenv.Group(group))))
		return name
	}
	// One node has its warm prefix when the room goes, and finds out from EC2
	// that there is no more. The other comes too late for any.
	early := add("fragmented-early", "subnet-fragmented")
	e.awaitBlocks(t, early, 1, 0)
	giveBack, err := e.EC2.Fragment("subnet-fragmented")
	check.Must(t, err)
	late := add("fragmented-late", "subnet-fragmented")
	for _, name := range []string{"whole-0", "whole-1"} {
		add(name, "subnet-whole")
	}

	const fit = 16 + 0 + 2*perENI
	check.Must(t, e.CreatePods(t.Context(), namespace, "pod", fit, testenv.OnGroup(group)))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, fit))
	for _, name := range []string{early, late} {
		check.Must(t, e.AwaitEvent(t.Context(), "Node", "", name, events.ReasonNoCidrBlocks,
			"InsufficientCidrBlocks: The specified subnet does not have enough free cidr blocks to satisfy the request"))
	}

	const more = 16 + perENI // what the fragmented subnet's nodes lack
	check.Must(t, e.CreatePods(t.Context(), namespace, "more", more, testenv.OnGroup(group)))
	check.Must(t, check.ErrorOf(e.AwaitTurnedAway(t.Context(), namespace, more)))
	giveBack()
	check.Must(t, e.AwaitRunning(t.Context(), namespace, fit+more))

	// AWS's controller asks again every time. One refusal tells enough; a second
	// call may have been on its way.
	if refused := e.refusals(early, late); len(refused) > 2 {
		t.Errorf("EC2 refused %d calls for nodes of the fragmented subnet, want 2 at the most: %v", len(refused), refused)
	}
}

// refusals are the codes with which EC2 refused calls for nodes, in order.
func (e *env) refusals(nodes ...string) (codes []string) {
	for _, name := range nodes {
		eni := e.Interface(name).ID
		for _, c := range e.EC2.Calls() {
			if c.ENI == eni && c.Code != "" {
				codes = append(codes, name+": "+c.Code)
			}
		}
	}
	return codes
}

// TestNodeGroupsInSeveralSubnets has one node group in two availability zones, with a
// subnet of the VPC's secondary CIDR in each, one of which fills up: pods get addresses
// of their own node's subnet, and where one is full they go to the other.
func TestNodeGroupsInSeveralSubnets(t *testing.T) {
	t.Parallel()
	const group = "zones"
	e := shared(t)
	namespace := e.namespace(t)
	cidrs := map[string]netip.Prefix{}
	for node, cidr := range map[string]string{"zone-a": "100.64.0.0/26", "zone-b": "100.64.1.0/24"} {
		cidrs[node] = netip.MustParsePrefix(cidr)
		check.Must(t, e.EC2.AddSubnet("subnet-"+node, testenv.Zone, cidrs[node]))
		check.Must(t, check.ErrorOf(e.AddNode(t.Context(), node, "t3.medium", "subnet-"+node, testenv.Group(group))))
	}
	// Zone a has two blocks beside the first and the last, which have addresses of AWS.
	const fit = 2*16 + 5*16
	check.Must(t, e.CreatePods(t.Context(), namespace, "pod", fit, testenv.OnGroup(group)))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, fit))
	check.Must(t, e.CreatePods(t.Context(), namespace, "more", 1, testenv.OnGroup(group)))
	check.Must(t, check.ErrorOf(e.AwaitTurnedAway(t.Context(), namespace, 1)))
	for name, a := range e.addresses(t, namespace) {
		if node := e.pod(t, namespace, name).Spec.NodeName; !cidrs[node].Contains(a) {
			t.Errorf("%s on %s has the address %s, which is not of %s", name, node, a, cidrs[node])
		}
	}
}
