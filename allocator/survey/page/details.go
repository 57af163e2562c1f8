package page

import (
	"slotwise.dev/slotwise/allocator/survey"
	"slotwise.dev/slotwise/allocator/survey/draw"
)

// slotDetail is what one slot holds, for who points at it.
type slotDetail struct {
	Block     string          `json:"block"`
	Kind      string          `json:"kind"`
	Addresses []addressDetail `json:"addresses"`
}

type addressDetail struct {
	Address string `json:"address"`
	State   string `json:"state"`
	Pod     string `json:"pod,omitempty"`
}

// nodeDetail is what a node holds, in the order in which its slots are drawn.
type nodeDetail struct {
	Slots  int          `json:"slots"`
	Blocks []slotDetail `json:"blocks"`
}

// nodeDetails are those of a node; false: there is no such node.
func nodeDetails(c *survey.Cluster, name string) (d nodeDetail, found bool) {
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if n.Name != name {
			continue
		}
		d = nodeDetail{Slots: n.Slots, Blocks: []slotDetail{}}
		for _, b := range draw.InSlots(n) {
			d.Blocks = append(d.Blocks, detailsOf(b))
		}
		return d, true
	}
	return d, false
}

func detailsOf(b survey.Block) slotDetail {
	d, a := slotDetail{Block: b.Prefix.String(), Kind: b.Kind().String()}, b.Prefix.Addr()
	for _, x := range b.Addresses {
		one := addressDetail{Address: a.String(), State: x.State.String()}
		if x.State == survey.Held {
			one.Pod = x.Pod.String()
		}
		d.Addresses = append(d.Addresses, one)
		a = a.Next()
	}
	return d
}

// subnetDetail is what the blocks of a subnet hold, and how they are laid out.
type subnetDetail struct {
	Grid  draw.Grid    `json:"grid"`
	Cells []cellDetail `json:"cells"`
}

type cellDetail struct {
	Block  string   `json:"block"`
	Use    string   `json:"use"`
	Owners []string `json:"owners,omitempty"`
}

// subnetDetails are those of a subnet; false: there is no such subnet.
func subnetDetails(c *survey.Cluster, id string) (d subnetDetail, found bool) {
	for i := range c.Subnets {
		s := &c.Subnets[i]
		if s.ID != id {
			continue
		}
		d.Grid = draw.GridOf(len(s.Cells))
		for _, x := range s.Cells {
			d.Cells = append(d.Cells, cellDetail{Block: x.Block.String(), Use: x.Use.String(), Owners: x.Owners})
		}
		return d, true
	}
	return d, false
}
