package allocator

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
)

// A kubelet that takes fewer pods than there are addresses for: what remains of them is
// not usable, nothing warms it, and an event names the flag.
func TestMaxPods(t *testing.T) {
	for name, c := range map[string]struct {
		maxPods, onHost, pods int
		usable, want          int // pods, and prefixes that may be warmed of 9
		event                 string
	}{
		"unknown":                     {0, 0, 0, 32, 9, ""},
		"enough":                      {40, 2, 3, 29, 3, ""},
		"too few":                     {10, 0, 3, 7, 1, "--max-pods=32"},
		"too few, beside host's pods": {20, 2, 1, 17, 2, "--max-pods=34"},
		"all taken":                   {4, 1, 3, 0, 1, "--max-pods=33"},
	} {
		t.Run(name, func(t *testing.T) {
			a, n := readyNode()
			recorder := events.NewFakeRecorder(100)
			a.events = reporter{recorder}
			for i := range c.onHost {
				p := windowsPod(n, types.UID(rune('A'+i)), netip.Addr{})
				p.Spec.HostNetwork, p.Spec.Containers = true, nil
				a.pods.observe(p)
			}
			for i := range c.pods {
				a.pods.observe(windowsPod(n, types.UID(rune('a'+i)), at(byte(i))))
			}
			a.AddNode(Member{Name: "win-1", Instance: "i-1", Ready: true, MaxPods: c.maxPods})
			n.refresh()
			if got := n.usable(); got != c.usable {
				t.Errorf("%d usable, want %d of %d", got, c.usable, n.remaining())
			}
			n.mu.Lock()
			if got := n.usableBlocks(9, n.ledger.Counts()); got != c.want {
				t.Errorf("%d prefixes are of use, want %d", got, c.want)
			}
			n.mu.Unlock()
			var told []string
			for len(recorder.Events) > 0 {
				if e := <-recorder.Events; strings.Contains(e, ReasonMaxPods) {
					told = append(told, e)
				}
			}
			if all := strings.Join(told, "\n"); len(told) > 1 || (all == "") != (c.event == "") || !strings.Contains(all, c.event) {
				t.Errorf("events: %q, want one with %q", all, c.event)
			}
		})
	}
}

// A pod on the host's network has no address, and waits for none.
func TestPodOnTheHostsNetwork(t *testing.T) {
	a, n := readyNode()
	p := windowsPod(n, "agent", netip.Addr{})
	p.Spec.HostNetwork, p.Spec.Containers = true, nil
	a.pods.observe(p)
	if c := n.ledger.Counts(); c.InUse+c.Waiting > 0 {
		t.Errorf("%+v", c)
	}
	a.pods.ended("agent", 0)
	if len(n.counted)+len(n.onHost)+len(n.asked) > 0 {
		t.Error("it is still counted")
	}
}

// A pod that was bound past the extender, and for which there is nothing, is told so.
func TestPodThatHangsIsTold(t *testing.T) {
	virtually(t, func(t *testing.T, a *Allocator, n *node) {
		fullNode(a, n)
		n.wait(1)
		if got := n.hanging(time.Now()); len(got) > 0 {
			t.Errorf("told at once: %v", got)
		}
		time.Sleep(tellAfter)
		if got := n.hanging(time.Now()); len(got) != 1 || got[0].uid != "A" {
			t.Errorf("told of %v, want of the pod that waits", got)
		}
		n.wait(1) // the watch shows it once more
		if got := n.hanging(time.Now()); len(got) > 0 {
			t.Errorf("told again of %v", got)
		}
	})
}
