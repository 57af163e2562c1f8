package ec2sim

import (
	"net/netip"
	"time"
)

// byOtherClient is the call number of what was done past the API: by a test that
// plays another client, or in building the inventory.
const byOtherClient = 0

// Change is one range of addresses that came to an interface or left it. The
// list of all changes is the truth for an independent observer.
type Change struct {
	Time time.Time `json:"time"`
	// Call is the Seq of the call that made the change; 0 is another client.
	Call  int          `json:"call"`
	ENI   string       `json:"eni"`
	Range netip.Prefix `json:"range"` // a /28, or a single address as /32
	// Assigned tells coming from leaving.
	Assigned bool `json:"assigned"`
}

// claim records that ranges are held by eni from now on.
func (m *model) claim(eni *networkInterface, ranges []netip.Prefix, call int) {
	for _, r := range ranges {
		eni.subnet.space.claim(r, eni.id)
	}
	m.record(eni, ranges, call, true)
}

// release records that ranges are held by nobody from now on.
func (m *model) release(eni *networkInterface, ranges []netip.Prefix, call int) {
	for _, r := range ranges {
		eni.subnet.space.release(r)
	}
	m.record(eni, ranges, call, false)
}

func (m *model) record(eni *networkInterface, ranges []netip.Prefix, call int, assigned bool) {
	now := time.Now()
	for _, r := range ranges {
		m.changes = append(m.changes, Change{Time: now, Call: call, ENI: eni.id, Range: r, Assigned: assigned})
	}
	eni.subnet.available.set(now, eni.subnet.space.available)
}
