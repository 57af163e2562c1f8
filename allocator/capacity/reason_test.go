package capacity

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestReasons: what metrics and people know the reasons by.
func TestReasons(t *testing.T) {
	want := map[Reason]struct{ label, text string }{
		Fits:           {"fits", ""},
		Full:           {"full", "no IPv4 address left on the node's network interface: end pods there or add Windows nodes"},
		NoRoomInSubnet: {"no_room_in_subnet", "the node's subnet has no free address or /28 block: free some or add nodes in another subnet"},
		Unknown:        {"unknown", "no Windows node that Slotwise knows: check its label kubernetes.io/os=windows and its spec.providerID"},
		NotReady:       {"not_ready", "the node's network interface is still being read from EC2: wait a moment"},
		Duplicate:      {"duplicate", "another Node of the same EC2 instance offers its addresses: delete the one that is left over"},
		Refused:        {"refused", "EC2 does not bring the node's network interface more addresses: see the node's event EC2CallRefused"},
		Kept:           {"kept", "the addresses that come free on the node are on their way to pods of a higher priority"},
		Off:            {"off", "Windows IPAM is off: set enable-windows-ipam in the ConfigMap of Slotwise and turn off other controllers (event OtherControllerPresent)"},
	}
	if len(want) != int(Reasons) {
		t.Errorf("%d reasons are looked at, there are %d", len(want), Reasons)
	}
	labels, texts := map[string]Reason{}, map[string]Reason{}
	for r := range Reasons {
		if r.String() != want[r].label || r.Text() != want[r].text {
			t.Errorf("%q: %q; want %q: %q", r, r.Text(), want[r].label, want[r].text)
		}
		if same, taken := labels[r.String()]; taken {
			t.Errorf("reasons %d and %d are both called %q", same, r, r)
		}
		if same, taken := texts[r.Text()]; taken {
			t.Errorf("reasons %s and %s have the same text", same, r)
		}
		labels[r.String()], texts[r.Text()] = r, r
		if strings.Contains(r.Text(), ",") {
			t.Errorf("%s: the text has a comma, which kube-scheduler joins the texts with: %q", r, r.Text())
		}
	}
}

// TestZeroReason: a Room in which nothing stands refuses nobody.
func TestZeroReason(t *testing.T) {
	if got := (Room{}).Reason; got != Fits {
		t.Errorf("the zero Reason is %s, want %s", got, Fits)
	}
}

func TestError(t *testing.T) {
	for name, c := range map[string]struct {
		err  *Error
		want string
	}{
		"the reason alone": {&Error{Reason: Full}, Full.Text()},
		"with what EC2 has answered": {
			&Error{Reason: Refused, Detail: "UnauthorizedOperation"}, Refused.Text() + " (UnauthorizedOperation)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := fmt.Errorf("bind: %w", c.err)
			found, ok := errors.AsType[*Error](err)
			if !ok || found.Reason != c.err.Reason {
				t.Fatalf("the reason is not found in %v", err)
			}
			if got := found.Error(); got != c.want {
				t.Errorf("Error() = %q, want %q", got, c.want)
			}
		})
	}
}
