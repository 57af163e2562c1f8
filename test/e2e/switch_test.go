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

// TestSwitchToPrefixes is the story that Slotwise exists for: a cluster with
// running pods is switched from secondary IPs to prefix delegation. What fits
// runs, the rest waits, and runs by itself once the old pods have gone.
func TestSwitchToPrefixes(t *testing.T) {
	t.Parallel()
	const (
		nodes = 2
		slots = 5 // of a t3.medium
		old   = 3 // pods on each node before the switch
		truth = (slots - old) * 16
		asked = nodes * slots * 16 // what AWS's formula would have run at once
	)
	s := start(t, testenv.Options{})
	namespace := s.namespace(t)
	names := s.nodes(t, "win", nodes, "t3.medium", testenv.Subnet)
	for _, name := range names {
		check.Must(t, s.CreatePods(t.Context(), namespace, "old-"+name, old, testenv.OnNode(name)))
	}
	check.Must(t, s.AwaitRunning(t.Context(), namespace, nodes*old))

	check.Must(t, s.PrefixMode(t.Context(), true))
	s.awaitCapacity(t, names, testenv.Capacity{Advertised: old + truth, Remaining: truth})

	check.Must(t, s.CreatePods(t.Context(), namespace, "new", asked))
	check.Must(t, s.AwaitRunning(t.Context(), namespace, nodes*(old+truth)))
	check.Must(t, check.ErrorOf(s.AwaitTurnedAway(t.Context(), namespace, asked-nodes*truth)))
	s.awaitCapacity(t, names, testenv.Capacity{Advertised: old + truth})

	for _, name := range names {
		check.Must(t, s.DeletePods(t.Context(), namespace, "old-"+name, old))
	}
	check.Must(t, s.AwaitRunning(t.Context(), namespace, asked))
	s.awaitCapacity(t, names, testenv.Capacity{Advertised: slots * 16})
	for _, name := range names {
		if eni := s.Interface(name); len(eni.Prefixes) != slots || len(eni.Addresses) != 0 {
			t.Errorf("%s has %d prefixes and %d secondary IPs in the end, want %d and none", name, len(eni.Prefixes), len(eni.Addresses), slots)
		}
	}
	s.noEC2Errors(t)
}

// TestSwitchBackToSecondaryIPs switches from prefixes to secondary IPs with 100
// pods running: the slots that are empty take secondary IPs, and a prefix goes
// only when the last of its pods has ended and cooled down.
func TestSwitchBackToSecondaryIPs(t *testing.T) {
	t.Parallel()
	const (
		slots    = 14 // of an m5.xlarge
		old      = 100
		prefixes = 7 // that 100 pods and one warm address take
		asked    = slots - prefixes + 2
	)
	s := start(t, testenv.Options{Settings: prefixMode})
	namespace := s.namespace(t)
	node := s.nodes(t, "win", 1, "m5.xlarge", testenv.Subnet)[0]
	check.Must(t, s.CreatePods(t.Context(), namespace, "old", old))
	check.Must(t, s.AwaitRunning(t.Context(), namespace, old))
	s.awaitBlocks(t, node, prefixes, 0)
	before := s.addresses(t, namespace)

	check.Must(t, s.PrefixMode(t.Context(), false))
	s.awaitCapacity(t, []string{node}, testenv.Capacity{Advertised: old + slots - prefixes, Remaining: slots - prefixes})
	check.Must(t, s.CreatePods(t.Context(), namespace, "new", asked))
	check.Must(t, s.AwaitRunning(t.Context(), namespace, old+slots-prefixes))
	check.Must(t, check.ErrorOf(s.AwaitTurnedAway(t.Context(), namespace, asked-(slots-prefixes))))
	s.awaitBlocks(t, node, prefixes, slots-prefixes)

	emptied, victims := fewestPods(s.Interface(node).Prefixes, before)
	deleted := time.Now()
	for _, name := range victims {
		check.Must(t, s.Kube.Delete(t.Context(), testenv.Pod(namespace, name), client.GracePeriodSeconds(0)))
	}
	// Its slot takes one of the two pods that wait.
	check.Must(t, s.AwaitRunning(t.Context(), namespace, old-len(victims)+slots-prefixes+1))
	s.awaitBlocks(t, node, prefixes-1, slots-prefixes+1)
	if rest := s.unassigned(t, emptied).Sub(deleted); rest < cooldown {
		t.Errorf("prefix %s was unassigned %s after its pods had been deleted, want %s at the least", emptied, rest, cooldown)
	}

	after := s.addresses(t, namespace)
	for name, address := range before {
		if now, lives := after[name]; lives && now != address {
			t.Errorf("pod %s had %s before the switch and has %s after it", name, address, now)
		}
	}
	s.noEC2Errors(t)
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
func (s *system) unassigned(t *testing.T, block netip.Prefix) time.Time {
	t.Helper()
	for _, c := range slices.Backward(s.EC2.Changes()) {
		if c.Range == block && !c.Assigned {
			return c.Time
		}
	}
	t.Fatalf("%s was never unassigned", block)
	return time.Time{}
}
