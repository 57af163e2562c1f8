package faults

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/test/ec2sim"
)

// takenBack limits how long it takes until what another client took from live pods is
// on their interface again: the look at the subnet of each minute notices it.
const takenBack = 75 * time.Second

// TestTakenBackByName has another client take a prefix from the interface that live
// pods have addresses of. The subnet still has it and a slot is free: the same is there
// again soon, by name, and the pods have what they had.
func TestTakenBackByName(t *testing.T) {
	t.Parallel()
	h := start(t, prefixMode)
	giveBack := h.lure()
	n := h.node(threeSlots)
	pods := h.bound(20, n)
	h.awaitAgreement(n)
	before := h.addressesOf(pods)
	h.must(h.ec2.Unassign(n.eni, ec2sim.Slots{Prefixes: h.eni(n).Prefixes[:1]}))
	giveBack()

	h.within(takenBack, "all pods have their addresses on the interface", func() error {
		if lost := h.lost(n, before); len(lost) > 0 {
			return fmt.Errorf("%v are not on it", lost)
		}
		return nil
	})
	if after := h.addressesOf(pods); !slices.Equal(before, after) {
		t.Errorf("the pods have %v now, they had %v", after, before)
	}
	h.awaitAgreement(n)
}

// TestAddressLost has another client take the address of a live pod for itself. It
// cannot be had again: an event on the pod says so, and the other pods have theirs.
func TestAddressLost(t *testing.T) {
	t.Parallel()
	h := start(t, secondaryMode)
	n := h.node(fiveSlots)
	pods := h.bound(3, n)
	h.awaitAgreement(n)
	lost := h.address(pods[0])
	h.ec2.ResetCalls()
	h.must(h.ec2.Unassign(n.eni, ec2sim.Slots{Addresses: []netip.Addr{lost}}))
	_, err := h.ec2.Occupy(h.subnet, netip.PrefixFrom(lost, 32))
	h.must(err)

	h.within(takenBack, "an event on the pod says that it has lost its address", func() error {
		return h.podEvent(pods[0], events.ReasonLost, lost.String())
	})
	for _, p := range pods[1:] {
		if err := h.podEvent(p, events.ReasonLost, ""); err == nil {
			t.Errorf("%s has the event too", p.Name)
		}
	}
	if missing := h.lost(n, h.addressesOf(pods[1:])); len(missing) > 0 {
		t.Errorf("%v of the other pods are not on the interface", missing)
	}
	refused := 0
	for _, times := range h.ec2.Errors() {
		refused += times
	}
	if refused > 2 { // it may ask, and ask once more
		t.Errorf("EC2 refused %v", h.ec2.Errors())
	}
	h.delete(pods[0])
	late := h.pods(1)[0]
	h.within(takenBack, "the node goes on", func() error { return h.bind(late, n) })
}

// TestTwoClientsThatFight has another client take a pod's address off the interface
// every second, whatever Slotwise does. It is taken back, and there is no storm.
func TestTwoClientsThatFight(t *testing.T) {
	t.Parallel()
	const d, most = 30 * time.Second, 6 // ten a minute are few beside the 300 that a bucket refills with
	h := start(t, secondaryMode)
	n := h.node(fiveSlots)
	p := h.bound(1, n)[0]
	a := h.address(p)
	h.awaitAgreement(n)
	h.ec2.ResetCalls()
	for began := time.Now(); time.Since(began) < d; time.Sleep(time.Second) {
		_ = h.ec2.Unassign(n.eni, ec2sim.Slots{Addresses: []netip.Addr{a}}) // where it is there
	}
	named := len(slices.DeleteFunc(h.calls(assign), func(c ec2sim.Call) bool { return len(c.Requested.Addresses) == 0 }))
	if named == 0 || named > most {
		t.Errorf("the address was asked for %d times within %s, want it taken back, %d times at the most", named, d, most)
	}
	if all := len(h.calls(assign)) + len(h.calls(unassign)); all > 2*most {
		t.Errorf("EC2 got %d changes within %s, want %d at the most", all, d, 2*most)
	}
	h.within(awaitTimeout, "the address is there once the other has given up", func() error {
		if lost := h.lost(n, []netip.Addr{a}); len(lost) > 0 {
			return fmt.Errorf("%v is not", lost)
		}
		return nil
	})
}

// lure keeps the lowest addresses of the subnet away from the nodes to come. Once they
// are given back EC2 gives them before any other: what was taken from an interface does
// not come back to it by chance.
func (h *harness) lure() (giveBack func()) {
	h.t.Helper()
	var low []netip.Prefix
	for a := h.cidr.Addr(); a.As4()[3] < 32; a = a.Next() {
		if a.As4()[3] > 4 { // the first four are EC2's; one is left for the primary address
			low = append(low, netip.PrefixFrom(a, 32))
		}
	}
	giveBack, err := h.ec2.Occupy(h.subnet, low...)
	h.must(err)
	return giveBack
}

// addressesOf are the addresses of pods, which must have some.
func (h *harness) addressesOf(pods []*corev1.Pod) (all []netip.Addr) {
	h.t.Helper()
	for _, p := range pods {
		all = append(all, h.address(p))
	}
	return all
}

// lost are those of some addresses that an interface has not.
func (h *harness) lost(n node, all []netip.Addr) []netip.Addr {
	eni := h.eni(n)
	return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool {
		return slices.Contains(eni.Addresses, a) ||
			slices.ContainsFunc(eni.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	})
}

// podEvent says what is wrong where a pod has no event with a reason and with a note
// that contains a text.
func (h *harness) podEvent(p *corev1.Pod, reason, text string) error {
	list, err := shared.Client.EventsV1().Events(p.Namespace).List(h.t.Context(), metav1.ListOptions{
		FieldSelector: "regarding.name=" + p.Name,
	})
	if err != nil {
		return err
	}
	var all []string
	for _, e := range list.Items {
		if e.Reason == reason && strings.Contains(e.Note, text) {
			return nil
		}
		all = append(all, e.Reason+": "+e.Note)
	}
	return fmt.Errorf("it has %q", all)
}
