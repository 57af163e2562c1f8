package witness

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/test/ec2sim"
)

// perPrefix is how many addresses a /28 has.
const perPrefix = 16

// book is the arithmetic of one node at rest, from EC2 and the pods alone.
type book struct {
	settings Settings
	prefixes bool // what new pods get
	eni      ec2sim.Interface
	room     room
	held     map[netip.Addr]bool
	told     map[netip.Addr]bool // of those held: its pod was told that it is lost
	// elsewhere are addresses of the interface that live pods of other nodes have: others
	// took them from there, and EC2 gave them here. They are kept from everybody.
	elsewhere map[netip.Addr]bool
	who       map[netip.Addr]string // their pods, for people
	waiting   int                   // pods without an address
	asked     int                   // pods that ask for the resource: those that scheduler and kubelet count
	podRoom   int                   // pods that the kubelet still takes
	// probes says that EC2 has refused the interface what was asked of it last: until it is
	// needed again, when that is found out, only one block more may be counted on.
	probes bool
	limit  int // of blocks to be counted on
}

const unlimited = 1 << 30

func (s *scene) book(n *corev1.Node) book {
	b := book{settings: s.settings, eni: s.interfaces[n.Name], held: map[netip.Addr]bool{}, told: map[netip.Addr]bool{}, elsewhere: map[netip.Addr]bool{}, who: map[netip.Addr]string{}}
	b.room, b.probes, b.limit = s.rooms[b.eni.Subnet], s.refused[b.eni.ID], unlimited
	b.prefixes = s.settings.Prefixes && nitro(b.eni.Type)
	b.podRoom = int(n.Status.Allocatable.Pods().Value())
	for i := range s.Pods {
		p := &s.Pods[i]
		if p.Spec.NodeName == n.Name && live(p) {
			b.podRoom--
			if asks(p) {
				b.asked++
			}
		}
		if p.Spec.NodeName == "" || p.Spec.HostNetwork || !live(p) {
			continue
		}
		switch a := addressOf(p); {
		case p.Spec.NodeName != n.Name:
			if b.has(a) {
				b.elsewhere[a], b.who[a] = true, p.Name+" of "+p.Spec.NodeName
			}
		case a.IsValid():
			b.held[a], b.told[a], b.who[a] = true, s.told(p.UID), p.Name
		default:
			b.waiting++
		}
	}
	return b
}

// asks says that a pod asks for the resource, in a container or in an init container.
func asks(p *corev1.Pod) bool {
	return slices.ContainsFunc(slices.Concat(p.Spec.Containers, p.Spec.InitContainers), func(c corev1.Container) bool {
		n := c.Resources.Requests[resource]
		return !n.IsZero()
	})
}

func nitro(instanceType string) bool {
	return slices.ContainsFunc(ec2sim.Types(), func(t ec2sim.Type) bool {
		return t.Name == instanceType && t.Hypervisor == ec2sim.Nitro
	})
}

// has says that the interface has an address, by itself or in a prefix.
func (b book) has(a netip.Addr) bool {
	return slices.Contains(b.eni.Addresses, a) || slices.ContainsFunc(b.eni.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// heldIn counts the addresses of a range that pods have.
func (b book) heldIn(p netip.Prefix) (n int) {
	for _, all := range []map[netip.Addr]bool{b.held, b.elsewhere} {
		for a := range all {
			if p.Contains(a) {
				n++
			}
		}
	}
	return n
}

// occupied counts the prefixes with at least one pod, and the pods in them.
func (b book) occupied() (prefixes, pods int) {
	for _, p := range b.eni.Prefixes {
		if n := b.heldIn(p); n > 0 {
			prefixes++
			pods += n
		}
	}
	return prefixes, pods
}

// singles counts the secondary IPs that pods have.
func (b book) singles() (n int) {
	for _, a := range b.eni.Addresses {
		if b.held[a] || b.elsewhere[a] {
			n++
		}
	}
	return n
}

func (b book) slots() int { return b.eni.Limit - 1 }

// open counts the empty slots that the subnet can fill.
func (b book) open() int {
	empty := b.slots() - len(b.eni.Addresses) - len(b.eni.Prefixes)
	if b.prefixes {
		return min(empty, b.limit, b.room.prefixes)
	}
	return min(empty, b.limit, b.room.addresses)
}

// free counts the addresses of the mode's kind that no pod has.
func (b book) free() int {
	if b.prefixes {
		_, pods := b.occupied()
		return perPrefix*len(b.eni.Prefixes) - pods
	}
	return len(b.eni.Addresses) - b.singles()
}

// remaining is the true remaining capacity.
func (b book) remaining() int {
	per := 1
	if b.prefixes {
		per = perPrefix
	}
	return b.free() + per*b.open() - b.waiting
}

// usable is what of it the kubelet takes.
func (b book) usable() int { return min(b.remaining(), b.podRoom) }

// shows is what Slotwise must show of the node.
func (b book) shows() Shown {
	s := Shown{
		Mode:             "secondary-ip",
		NetworkInterface: b.eni.ID,
		Subnet:           b.eni.Subnet,
		Slots:            b.slots(),
		SecondaryIPs:     len(b.eni.Addresses),
		Prefixes:         len(b.eni.Prefixes),
		InUse:            len(b.held) + len(b.elsewhere),
		Free:             b.free(),
		Waiting:          b.waiting,
		Remaining:        max(0, b.remaining()),
		Usable:           max(0, b.usable()),
	}
	if b.prefixes {
		s.Mode = "prefix"
	}
	return s
}

// flaw is something that is wrong, and the address that it is about, if any.
type flaw struct {
	text    string
	address netip.Addr
}

// judge tells what is wrong with a node at rest, and how many more pods it takes.
func (b book) judge(shown Shown, n *corev1.Node) (wrong []flaw, usable int) {
	wrong = b.compare(shown, n)
	if b.probes && len(wrong) > 0 {
		b.limit = 1
		if less := b.compare(shown, n); len(less) == 0 {
			return nil, b.usable()
		}
	}
	return wrong, b.usable()
}

// compare tells what is not as the book has it.
func (b book) compare(shown Shown, n *corev1.Node) (wrong []flaw) {
	if want, got := fmt.Sprintf("%+v", b.shows()), fmt.Sprintf("%+v", shown); got != want {
		wrong = append(wrong, flaw{text: fmt.Sprintf("NodeSlots shows\n\t\t%s, EC2 and the pods say\n\t\t%s: %v, pods %v", got, want, b.eni.Slots, b.who)})
	}
	want := int64(b.asked + max(0, b.remaining()))
	for name, list := range map[string]corev1.ResourceList{"capacity": n.Status.Capacity, "allocatable": n.Status.Allocatable} {
		if got := list[resource]; got.Value() != want {
			wrong = append(wrong, flaw{text: fmt.Sprintf("its %s is %s, want %d", name, got.String(), want)})
		}
	}
	for a := range b.held {
		if !b.told[a] && !b.has(a) {
			wrong = append(wrong, flaw{fmt.Sprintf("%s has %s, which is not on its interface", b.who[a], a), a})
		}
	}
	if b.waiting > 0 && b.free()+b.open() > 0 {
		wrong = append(wrong, flaw{text: fmt.Sprintf("%d bound pods have no address although there are some", b.waiting)})
	}
	return append(wrong, b.pool()...)
}

// pool tells of blocks that are kept for nothing, and of those that the warm pool
// lacks although it could have them.
func (b book) pool() (wrong []flaw) {
	mine, others := len(b.eni.Addresses), len(b.eni.Prefixes)
	needed := b.singles()
	othersNeeded, _ := b.occupied()
	if b.prefixes {
		mine, others = others, mine
		needed, othersNeeded = othersNeeded, needed
	}
	if others != othersNeeded {
		wrong = append(wrong, flaw{text: fmt.Sprintf("%d blocks of the other mode are kept, pods need %d", others, othersNeeded)})
	}
	want := b.target()
	if mine > max(want, needed) {
		wrong = append(wrong, flaw{text: fmt.Sprintf("%d blocks are kept, pods need %d and the warm pool asks for %d", mine, needed, want)})
	}
	if mine < want && b.open() > 0 {
		wrong = append(wrong, flaw{text: fmt.Sprintf("there are %d blocks, the warm pool asks for %d, and %d more can be had", mine, want, b.open())})
	}
	return wrong
}

// target is how many blocks the warm pool asks for; see "Configuration" in
// manifests/README.md. It asks for none that the kubelet could never use.
func (b book) target() int {
	_, held := b.occupied()
	if !b.prefixes {
		held = b.singles()
	}
	return min(b.wanted(), b.blocks(held+b.waiting+b.podRoom))
}

// blocks is how many hold so many addresses.
func (b book) blocks(addresses int) int {
	if b.prefixes {
		return (addresses + perPrefix - 1) / perPrefix
	}
	return addresses
}

// wanted is what the targets ask for.
func (b book) wanted() int {
	s := b.settings
	if !b.prefixes {
		warm, minimum := 3, 3
		if s.WarmIP > 0 {
			warm = s.WarmIP
		}
		if s.MinimumIP > 0 {
			minimum = s.MinimumIP
		}
		return max(b.singles()+b.waiting+warm, minimum)
	}
	occupied, pods := b.occupied()
	if s.WarmPrefix > 0 && s.WarmIP <= 0 && s.MinimumIP <= 0 {
		return occupied + s.WarmPrefix
	}
	warm, minimum := 1, 3
	if s.WarmIP > 0 {
		warm = s.WarmIP
	}
	if s.MinimumIP > 0 {
		minimum = s.MinimumIP
	}
	return max(b.blocks(pods+b.waiting+warm), b.blocks(minimum))
}
