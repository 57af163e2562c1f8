package allocator

import (
	"time"

	"slotwise.dev/slotwise/allocator/advertise"
)

// figures are what Nodes are to show; see advertise.Source.
type figures struct {
	gate  *gate
	nodes *registry
}

// Figures are those of one Node. One that another Node offers the capacity of shows what
// its pods have asked for. While Slotwise is off, nothing remains; but what pods hold goes
// on being shown, as a kubelet that restarts rejects those that do not fit (I9).
func (f *figures) Figures(name string) (x advertise.Figures, ok bool) {
	n := f.nodes.find(name)
	if n == nil || f.gate.state.Load().Other != nil {
		return x, false
	}
	c, available := n.Capacity()
	if !c.Ready {
		return x, false
	}
	if n.Name() != name {
		load, _ := n.Pods().Load(name)
		return advertise.Figures{Total: load.Asked}, true
	}
	x = advertise.Figures{Shown: n.Shown.Last(name), Offers: true}
	if f.gate.On() {
		x.Total, x.Remaining = c.Total(available), max(0, c.Remaining(available))
	} else {
		x.Total = max(c.Running+c.Ended, x.Shown) // whoever shows more may have a reason
	}
	return x, true
}

// Shows notes the total that a Node shows from now on, or may, where it is the one that
// offers.
func (f *figures) Shows(name string, total int) {
	if n := f.nodes.find(name); n != nil && n.Name() == name {
		n.Shown.Note(name, total, time.Now())
	}
}
