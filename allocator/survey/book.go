package survey

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
)

// book is the ledger of one node, and what it was made of.
type book struct {
	shown  Node // as far as it is known without the ledger
	pods   []Pod
	onHost int
	nitro  bool
	mode   settings.Choice // of its label

	ledger *ledger.Ledger // nil: the node could not be looked at
	counts ledger.Counts
	blocks []netip.Prefix
	claim  int // blocks of the mode's kind that its subnet gives it
	adrift int // pods whose address is not on the interface
}

// open opens the book of a node. The newest Node of an instance stands for it, with the
// pods of the others; see byInstance.
func open(n *corev1.Node, byInstance map[string][]*corev1.Node, o Objects, shown Shown, now time.Time) *book {
	b := &book{pods: o.Pods[n.Name], shown: Node{
		Name: n.Name, Group: group(n), Type: n.Labels[corev1.LabelInstanceTypeStable],
		MaxPods: int(n.Status.Allocatable.Pods().Value()),
	}}
	b.mode, _ = settings.ChoiceOf(n.Labels) // a slip leaves it to the ConfigMap, as in the allocator
	if total, shows := n.Status.Allocatable[vpc.Resource]; shows {
		b.shown.Advertised = new(int(total.Value()))
	}
	for _, p := range live(b.pods) {
		if p.OnHost {
			b.onHost++
		} else {
			b.shown.Pods++
		}
	}
	if err := b.find(n, shown); err != nil {
		b.shown.Why = err.Error()
		return b
	}
	same := byInstance[b.shown.Instance]
	if same[0] != n {
		b.shown.Why = fmt.Sprintf("node %s is the same EC2 instance, and is newer: delete the one that is left over", same[0].Name)
		return b
	}
	for _, old := range same[1:] {
		b.pods = slices.Concat(b.pods, o.Pods[old.Name])
	}
	b.fill(o, shown, now)
	return b
}

// find looks the node up in what EC2 has shown.
func (b *book) find(n *corev1.Node, shown Shown) error {
	id, err := vpc.InstanceID(n.Spec.ProviderID)
	if err != nil {
		return err
	}
	b.shown.Instance = id
	m, asked := shown.Machines[id]
	switch {
	case !asked:
		return fmt.Errorf("instance %s has just joined, and EC2 has not been asked yet: look again in a moment", id)
	case m.Err != nil:
		return m.Err
	}
	b.shown.Type, b.shown.Interface, b.nitro = m.Type, m.PrimaryENI, m.Nitro
	s := shown.Subnets[m.SubnetID]
	if s.Err != nil {
		return s.Err
	}
	blocks, has := s.Interfaces[m.PrimaryENI]
	if !has {
		return fmt.Errorf("EC2 does not show %s, the primary network interface of %s, in %s: it may just have been replaced, so look again in a moment", m.PrimaryENI, id, m.SubnetID)
	}
	b.shown.Subnet, b.blocks, b.shown.Slots = m.SubnetID, slices.Clone(blocks), m.AddressesPerInterface-1
	return nil
}

// fill enters blocks and pods into a ledger, as mode observe does: what is on the
// interface and in nobody's hands could be given at once, unless its pod was seen to end.
func (b *book) fill(o Objects, shown Shown, now time.Time) {
	mode := b.mode.Or(o.Settings.Mode)
	if !b.nitro {
		mode = ledger.SecondaryIP // only Nitro instances take prefixes
	}
	asOf := shown.Subnets[b.shown.Subnet].AsOf
	b.ledger = ledger.New(b.shown.Slots, mode)
	b.changed(b.ledger.Follow(b.blocks, asOf, asOf))
	for _, p := range b.pods {
		b.enter(p, asOf)
	}
	b.ledger.Advance(now)
	b.adrift = len(b.ledger.Adrift())
	b.counts = b.ledger.Counts()
	b.shown.Mode = mode.String()
}

// enter enters a pod. What its address tells of the interface after EC2 was asked, is
// believed; before that, EC2 is.
func (b *book) enter(p Pod, asOf time.Time) {
	switch {
	case p.OnHost:
		return
	case !p.Address.IsValid():
		if p.Wants && p.Ended.IsZero() {
			b.ledger.Wait(p.UID)
		}
		return
	case p.Ended.IsZero() && p.Seen.After(asOf.Add(-ledger.Settle)):
		b.changed(b.ledger.Reveal(p.UID, p.Address, p.Kind, p.Seen))
	default:
		b.ledger.Hold(p.UID, p.Address, p.Kind, p.Seen)
	}
	if !p.Ended.IsZero() {
		b.ledger.End(p.UID, p.Ended)
	}
}

// changed follows what the ledger has found out about the interface.
func (b *book) changed(d ledger.Drift) {
	for _, p := range d.Appeared {
		if !slices.Contains(b.blocks, p) {
			b.blocks = append(b.blocks, p)
		}
	}
	b.blocks = slices.DeleteFunc(b.blocks, func(p netip.Prefix) bool { return slices.Contains(d.Vanished, p) })
}

// node sums the book up.
func (b *book) node(o Objects, now time.Time) Node {
	n := b.shown
	if b.ledger == nil {
		return n
	}
	c := b.counts
	n.SecondaryIPs, n.Prefixes, n.InUse, n.Free, n.Waiting = c.SecondaryIPs, c.Prefixes, c.InUse, c.Free, c.Waiting
	room := capacity.Node{Ready: true, Counts: c, Claimed: b.claim, Limit: capacity.Unlimited}
	n.There = c.InUse + c.Waiting + room.Remaining(0)
	n.Promised = n.Slots * c.Mode.Addresses()
	n.Gap = n.Promised - n.There
	n.Hang = max(0, min(n.Promised, b.takes())-n.There)
	n.Cooling = b.cooling(o, now)
	n.Short = max(0, c.Open-b.claim)
	n.Note = b.note(n.Short)
	n.Blocks = b.contents(now)
	return n
}

// takes is how many pods with an address the kubelet takes at the most.
func (b *book) takes() int {
	if b.shown.MaxPods == 0 {
		return capacity.NoMaxPods
	}
	return max(0, b.shown.MaxPods-b.onHost)
}

// cooling is how many addresses cool: by NodeSlots, else by the ends that were seen.
// Until a whole cooldown was seen there may be more.
func (b *book) cooling(o Objects, now time.Time) *int {
	if n, told := o.Cooling[b.shown.Name]; told {
		return &n
	}
	if o.Since.IsZero() || now.Sub(o.Since) < ledger.Cooldown {
		return nil
	}
	return &b.counts.Cooling
}

// note says what is odd about the node, which is short of so many blocks.
func (b *book) note(short int) string {
	switch {
	case b.adrift > 0:
		return fmt.Sprintf("%d blocks that its pods have addresses out of are not on the network interface: those pods have no network; delete them, and see in CloudTrail who called UnassignPrivateIpAddresses", b.adrift)
	case short > 0:
		return fmt.Sprintf("the subnet has nothing for %d of its empty slots: free whole /28 blocks there, or add nodes in another subnet", short)
	case !b.nitro:
		return "not a Nitro instance: it stays on secondary IPs"
	}
	return ""
}

// contents is what is in the slots, address by address.
func (b *book) contents(now time.Time) []Block {
	free := b.ledger.Free()
	held := map[netip.Addr]types.NamespacedName{}
	ends := map[netip.Addr]time.Time{}
	byUID := names(b.pods)
	for _, p := range b.pods {
		if a, _ := b.ledger.Holder(p.UID); a.IsValid() {
			held[a] = byUID[p.UID]
		} else if until := p.Ended.Add(ledger.Cooldown); !p.Ended.IsZero() && until.After(now) {
			ends[p.Address] = until
		}
	}
	slices.SortFunc(b.blocks, netip.Prefix.Compare)
	blocks := make([]Block, 0, len(b.blocks))
	for _, p := range b.blocks {
		x := Block{Prefix: p}
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			x.Addresses = append(x.Addresses, state(a, held, ends, free))
		}
		blocks = append(blocks, x)
	}
	return blocks
}

func state(a netip.Addr, held map[netip.Addr]types.NamespacedName, ends map[netip.Addr]time.Time, free []netip.Prefix) Address {
	if pod, is := held[a]; is {
		return Address{State: Held, Pod: pod}
	}
	if slices.ContainsFunc(free, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return Address{State: Free}
	}
	return Address{State: Cooling, Until: ends[a]}
}
