package faults

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/ec2sim"
)

// TestI2Restart ends a process and starts another one. What the first has shown to
// be free is given at once, of everything else of the old prefix nothing.
func TestI2Restart(t *testing.T) {
	t.Parallel()
	const before = 10 // pods, of the 16 that a prefix holds
	for name, c := range map[string]struct {
		end func(h *harness, n node)
		// free is how many addresses can be given as soon as the next process runs.
		free int
	}{
		"in order": {
			end:  func(h *harness, _ node) { h.stop() },
			free: 16 - before,
		},
		"killed when the node had been still": {
			end:  func(h *harness, n node) { h.awaitRecord(n); h.kill() },
			free: 16 - before,
		},
		"killed when an address had just been given": {
			end: func(h *harness, n node) { h.awaitRecord(n); h.bound(1, n); h.kill() },
		},
		"killed, and the record is damaged": {
			end: func(h *harness, n node) {
				h.awaitRecord(n)
				h.kill()
				h.damageRecord(n, `{"status":{"knownFree":["10.0.0.0/8","nonsense"]}}`)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, prefixMode)
			n := h.node(fiveSlots)
			h.bound(before, n)
			h.awaitAgreement(n)
			old := h.eni(n).Prefixes

			c.end(h, n)
			began := time.Now()
			h.run()
			h.await("the node is known", func() error { return h.known(n) })
			// On a machine that is slow the rest has cooled down by now.
			if got := int(h.room(n).Free); got != c.free && time.Since(began) < 30*time.Second {
				t.Errorf("%d addresses are free at once, want %d", got, c.free)
			}
			// More than is free: the rest has to come from a new prefix while what is
			// left of the old one cools.
			given := 0
			for _, p := range h.bound(c.free+3, n) {
				if slices.Contains(old, netip.PrefixFrom(h.address(p), 28).Masked()) {
					given++
				}
			}
			if took := time.Since(began); given != c.free && took < 30*time.Second {
				t.Errorf("I2: %d addresses of the old prefix were given within %s, want %d", given, took, c.free)
			}
			h.awaitAgreement(n)
		})
	}
}

// awaitRecord waits until the free addresses of a node are written down.
func (h *harness) awaitRecord(n node) {
	h.t.Helper()
	h.await("the free addresses of "+n.name+" are written down", func() error {
		shown, err := h.slots(n)
		if err == nil && len(shown.KnownFree) == 0 {
			err = errors.New("none is")
		}
		return err
	})
}

// damageRecord patches the NodeSlots object of a node.
func (h *harness) damageRecord(n node, patch string) {
	h.t.Helper()
	o := &v1alpha1.NodeSlots{ObjectMeta: metav1.ObjectMeta{Name: n.name}}
	h.must(shared.Kube.Status().Patch(h.t.Context(), o, client.RawPatch(types.MergePatchType, []byte(patch))))
}

// known says what is wrong where the ledger of a node is not yet rebuilt.
func (h *harness) known(n node) error {
	r := h.room(n).Reason
	if r == capacity.Unknown || r == capacity.NotReady || r == capacity.Off || !h.Serving() {
		return fmt.Errorf("the filter says %q, binds are served: %t", r, h.Serving())
	}
	return nil
}

// TestStartWith500Nodes starts with 500 nodes, at 80 ms for a call of EC2. Each node
// has some pods' worth of addresses from an earlier life. It has the machine to
// itself: tests in parallel begin later.
func TestStartWith500Nodes(t *testing.T) {
	const nodes, took80 = 500, 80 * time.Millisecond
	h := prepare(t, freshRange(20), settings{"warm-ip-target": "1", "minimum-ip-target": "1"})
	all := make([]controlplane.Node, nodes)
	for i := range all {
		n := node{name: h.namespace + "-" + strconv.Itoa(i), instance: fmt.Sprintf("i-%017x", i)}
		eni, err := h.ec2.AddInstance(ec2sim.Instance{ID: n.instance, Type: threeSlots, Subnet: h.subnet})
		h.must(err)
		_, err = h.ec2.Assign(eni.ID, ec2sim.Request{AddressCount: 1})
		h.must(err)
		all[i] = n.object(h.namespace, threeSlots)
	}
	h.must(shared.Cluster.AddNodes(t.Context(), all...))
	t.Cleanup(func() {
		each(nodes, func(i int) { _ = shared.DeleteNode(context.Background(), all[i].Name) })
	})
	h.ec2.SetLatency(ec2sim.AnyAction, ec2sim.Latency{Mean: took80})

	began := time.Now()
	h.run()
	h.await("all nodes are known", func() error {
		if got := h.metric("slotwise_nodes", map[string]string{"state": "ready"}); got != nodes {
			return fmt.Errorf("%v are", got)
		}
		return nil
	})
	took, calls := time.Since(began), h.ec2.Counts()
	t.Logf("%d nodes were known after %s and %d calls: %v", nodes, took.Round(10*time.Millisecond), len(h.ec2.Calls()), calls)
	// Describes of many nodes share a call. On a slow machine nodes come one by one, and share
	// less, but never ask for more than a few calls a second together.
	if most := 40 + 4*int(took.Seconds()); len(h.ec2.Calls()) > most {
		t.Errorf("EC2 got %d calls in %s, want at most %d", len(h.ec2.Calls()), took, most)
	}
}
