package survey

import (
	"net/netip"
	"slices"
	"strings"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/subnet"
)

// subnets are those of the nodes, by id.
func subnets(nodes []Node, shown Shown) []Subnet {
	enis, count := map[string]string{}, map[string]int{}
	for i := range nodes {
		if n := &nodes[i]; n.Interface != "" {
			enis[n.Interface] = n.Name
			count[n.Subnet]++
		}
	}
	var all []Subnet
	for id, s := range shown.Subnets {
		if s.Err != nil {
			all = append(all, Subnet{ID: id, Why: s.Err.Error()})
			continue
		}
		m := s.Map()
		x := Subnet{ID: id, Zone: s.AvailabilityZone, CIDR: s.CIDR.String(), Nodes: count[id], Hidden: m.Hide(s.Available), Cells: cells(s.Subnet, m, enis)}
		x.FreePrefixes, x.FreeIPs = m.Room(ledger.Prefix), m.Room(ledger.SecondaryIP)
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b Subnet) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// cells says of each /28 of a subnet what it is used for, and by whom. enis are the
// interfaces of Windows nodes, with the names of those.
func cells(s cloud.Subnet, m *subnet.Map, enis map[string]string) []Cell {
	n := 1 << max(0, ledger.PrefixBits-s.CIDR.Bits())
	all := make([]Cell, n)
	at := map[netip.Addr]int{}
	for i, a := 0, s.CIDR.Addr(); i < n; i++ {
		all[i].Block = netip.PrefixFrom(a, ledger.PrefixBits)
		all[i].Use = unheld(all[i].Block, m, s.Reservations)
		at[a] = i
		for range ledger.Prefix.Addresses() {
			a = a.Next()
		}
	}
	for _, h := range s.Holders {
		owner, ours := enis[h.Interface]
		if !ours {
			owner = h.String()
		}
		for _, b := range h.Blocks {
			i, within := at[netip.PrefixFrom(b.Addr(), ledger.PrefixBits).Masked().Addr()]
			if !within {
				continue
			}
			all[i].Use = held(all[i].Use, b, ours)
			if owned := b.Addr().String() + " " + owner; len(all[i].Owners) < ledger.Prefix.Addresses() {
				all[i].Owners = append(all[i].Owners, strings.TrimSpace(owned))
			}
		}
	}
	return all
}

// unheld is the use of a cell as far as nobody holds an address in it.
func unheld(b netip.Prefix, m *subnet.Map, reservations []subnet.Reservation) Use {
	for _, r := range reservations {
		if r.CIDR.Overlaps(b) && r.Kind == subnet.Explicit {
			return Explicit
		}
	}
	for _, r := range reservations {
		if r.CIDR.Overlaps(b) && r.Kind == subnet.ForPrefixes {
			return Reserved
		}
	}
	if first := b.Addr() == m.CIDR().Addr(); first || !m.CIDR().Contains(lastOf(b).Next()) {
		return Kept
	}
	return Unused
}

// held is the use of a cell once somebody holds a block in it. One address of somebody
// else spoils it, whoever is in it besides.
func held(was Use, b netip.Prefix, ours bool) Use {
	switch prefix := ledger.KindOf(b) == ledger.Prefix; {
	case prefix && ours:
		return NodePrefix
	case prefix:
		return OtherPrefix
	case !ours || was == Spoiled:
		return Spoiled
	}
	return NodeIPs
}

// lastOf is the last address of a /28.
func lastOf(b netip.Prefix) netip.Addr {
	four := b.Addr().As4()
	four[3] += byte(ledger.Prefix.Addresses() - 1)
	return netip.AddrFrom4(four)
}
