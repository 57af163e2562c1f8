package e2e

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// TestSwitch is the story that Slotwise exists for: a cluster with running pods is
// switched from secondary IPs to prefix delegation. What fits runs, the rest waits, and
// runs by itself once the old pods have gone. Then it is switched back with all of these
// running: a prefix goes when the last of its pods has ended and cooled down, and its
// slot takes a secondary IP.
func TestSwitch(t *testing.T) {
	t.Parallel()
	const (
		nodes = 2
		slots = 5 // of a t3.medium
		old   = 3 // pods on each node before the switch
		truth = (slots - old) * 16
		asked = nodes * slots * 16 // what AWS's formula would have run at once
	)
	e := start(t, testenv.Options{})
	namespace := e.namespace(t)
	names := e.nodes(t, "win", nodes, "t3.medium", testenv.Subnet)
	for _, name := range names {
		check.Must(t, e.CreatePods(t.Context(), namespace, "old-"+name, old, testenv.OnNode(name)))
	}
	check.Must(t, e.AwaitRunning(t.Context(), namespace, nodes*old))

	check.Must(t, e.PrefixMode(t.Context(), true))
	e.awaitCapacity(t, names, testenv.Capacity{Advertised: old + truth, Remaining: truth})

	check.Must(t, e.CreatePods(t.Context(), namespace, "new", asked))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, nodes*(old+truth)))
	check.Must(t, check.ErrorOf(e.AwaitTurnedAway(t.Context(), namespace, asked-nodes*truth)))
	e.awaitCapacity(t, names, testenv.Capacity{Advertised: old + truth})

	for _, name := range names {
		check.Must(t, e.DeletePods(t.Context(), namespace, "old-"+name, old))
	}
	check.Must(t, e.AwaitRunning(t.Context(), namespace, asked))
	e.awaitCapacity(t, names, testenv.Capacity{Advertised: slots * 16})
	for _, name := range names {
		e.awaitBlocks(t, name, slots, 0)
	}
	e.switchBack(t, namespace, names[0], slots)
	e.noEC2Errors(t)
}

// switchBack switches a cluster whose slots are full of prefixes back to secondary IPs,
// and has a pod wait for one on a node.
func (e *env) switchBack(t *testing.T, namespace, node string, slots int) {
	t.Helper()
	before := e.addresses(t, namespace)
	check.Must(t, e.PrefixMode(t.Context(), false))
	check.Must(t, e.CreatePods(t.Context(), namespace, "waits", 1, testenv.OnNode(node)))
	check.Must(t, check.ErrorOf(e.AwaitTurnedAway(t.Context(), namespace, 1)))
	e.awaitBlocks(t, node, slots, 0)

	emptied, ended := fewestPods(e.Interface(node).Prefixes, before)
	deleted := time.Now()
	for _, name := range ended {
		check.Must(t, e.Kube.Delete(t.Context(), testenv.Pod(namespace, name), client.GracePeriodSeconds(0)))
	}
	check.Must(t, e.AwaitRunning(t.Context(), namespace, len(before)-len(ended)+1))
	e.awaitBlocks(t, node, slots-1, 1)
	if rest := e.unassigned(t, emptied).Sub(deleted); rest < cooldown {
		t.Errorf("prefix %s was unassigned %s after its pods had been deleted, want %s at the least", emptied, rest, cooldown)
	}
	after := e.addresses(t, namespace)
	for name, address := range before {
		if now, lives := after[name]; lives && now != address {
			t.Errorf("pod %s had %s before the switch and has %s after it", name, address, now)
		}
	}
}

// fewestPods finds the prefix that the fewest pods have their address from.
func fewestPods(prefixes []netip.Prefix, addresses map[string]netip.Addr) (fewest netip.Prefix, pods []string) {
	for _, prefix := range prefixes {
		var inside []string
		for name, address := range addresses {
			if prefix.Contains(address) {
				inside = append(inside, name)
			}
		}
		if !fewest.IsValid() || len(inside) < len(pods) {
			fewest, pods = prefix, inside
		}
	}
	return fewest, pods
}

// unassigned is when a block was last taken off an interface.
func (e *env) unassigned(t *testing.T, block netip.Prefix) time.Time {
	t.Helper()
	for _, c := range slices.Backward(e.EC2.Changes()) {
		if c.Range == block && !c.Assigned {
			return c.Time
		}
	}
	t.Fatalf("%s was never unassigned", block)
	return time.Time{}
}
