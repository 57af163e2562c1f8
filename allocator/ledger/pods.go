package ledger

import (
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// pods are the pods of the ENI's node: those that hold an address, and those that wait
// for one.
type pods struct {
	holders map[types.UID]netip.Addr
	adrift  map[types.UID]netip.Prefix // holders whose address is not on the ENI, and the block that it is out of
	waiting []types.UID                // longest waiting first
}

// Holder says which address a pod has here; known is true, and the address invalid,
// while the pod waits for one.
func (p *pods) Holder(pod types.UID) (a netip.Addr, known bool) {
	a, held := p.holders[pod]
	return a, held || slices.Contains(p.waiting, pod)
}

// Wait notes a pod that needs an address. Serve answers it.
func (p *pods) Wait(pod types.UID) {
	if _, known := p.Holder(pod); !known {
		p.waiting = append(p.waiting, pod)
	}
}

func (p *pods) dropWaiting(pod types.UID) {
	if i := slices.Index(p.waiting, pod); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
}

// Lacks says that a pod's address is not on the ENI.
func (p *pods) Lacks(pod types.UID) bool {
	_, lacks := p.adrift[pod]
	return lacks
}

// stillAdrift keeps those of the pods whose address has not come back.
func (p *pods) stillAdrift(pods []types.UID) []types.UID {
	return slices.DeleteFunc(pods, func(pod types.UID) bool { return !p.Lacks(pod) })
}

// Adrift lists the blocks that live pods have their address out of, and that are not on
// the ENI, in order.
func (p *pods) Adrift() []netip.Prefix {
	blocks := slices.Collect(maps.Values(p.adrift))
	slices.SortFunc(blocks, netip.Prefix.Compare)
	return slices.Compact(blocks)
}

// otherHolder is another pod that holds the same address; empty: none does.
func (p *pods) otherHolder(pod types.UID, a netip.Addr) types.UID {
	for other, held := range p.holders {
		if held == a && other != pod {
			return other
		}
	}
	return ""
}
