package ec2sim

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// vpcID and ownerID are the same for everything: one VPC of one account.
const (
	vpcID   = "vpc-0slotwise"
	ownerID = "123456789012"
)

// ReservationKind is the type of a subnet CIDR reservation.
type ReservationKind string

const (
	// ReservedForPrefixes serves automatic prefixes, before any other space,
	// and is kept from automatic single addresses.
	ReservedForPrefixes ReservationKind = "prefix"
	// ReservedExplicit is kept from all automatic assignment.
	ReservedExplicit ReservationKind = "explicit"
)

// Instance is a virtual machine to run.
type Instance struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	Subnet string `json:"subnet"`
	// Address is the primary address; left out, EC2 chooses one.
	Address netip.Addr `json:"address,omitzero"`
	// DNSName is PrivateDnsName; left out, EC2 makes the IP name of the primary
	// address, such as ip-10-0-0-5.us-west-2.compute.internal. Where the subnet
	// asks for resource names it is the instance id with the same end
	// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-naming.html).
	DNSName string `json:"dnsName,omitempty"`
}

// Interface is a network interface as it is now.
type Interface struct {
	ID     string `json:"id"`
	Subnet string `json:"subnet"`
	// Instance is empty for an interface of somebody else; see Occupy.
	Instance string `json:"instance,omitempty"`
	// Type is the type of the instance.
	Type string `json:"type,omitempty"`
	// Device is the device index; 0 is the primary interface.
	Device int `json:"device"`
	// Limit is the most slots, the primary address included; 0 is no limit.
	Limit   int        `json:"limit"`
	Primary netip.Addr `json:"primary"`
	Slots
}

// Slots are secondary addresses and prefixes, each of which fills one slot.
type Slots struct {
	Addresses []netip.Addr   `json:"addresses,omitempty"`
	Prefixes  []netip.Prefix `json:"prefixes,omitempty"`
}

func (s Slots) count() int { return len(s.Addresses) + len(s.Prefixes) }

// ranges lists the slots, addresses as /32.
func (s Slots) ranges() []netip.Prefix {
	ranges := make([]netip.Prefix, 0, s.count())
	for _, a := range s.Addresses {
		ranges = append(ranges, hostPrefix(a))
	}
	return append(ranges, s.Prefixes...)
}

// model is everything there is in the simulated EC2. It has no lock; the
// Server has.
type model struct {
	subnets    map[string]*subnet
	interfaces map[string]*networkInterface
	instances  map[string]*instance
	types      map[string]Type
	reuse      Reuse
	changes    []Change
	made       int // interfaces and reservations made, for their ids
}

type subnet struct {
	id, zone     string
	space        *space
	reservations []reservation
	available    history[int] // AvailableIpAddressCount
}

type reservation struct {
	id   string
	cidr netip.Prefix
	kind ReservationKind
}

type networkInterface struct {
	id, mac  string
	subnet   *subnet
	instance *instance // nil for an interface of somebody else
	device   int
	primary  netip.Addr
	attached time.Time
	unseen   bool // another account's
	slots    history[holding]
}

// holding is what an interface holds. Its slices are never written to, so it
// may be read without the lock.
type holding struct {
	Slots
	deleted bool
}

type instance struct {
	id         string
	kind       Type
	subnet     *subnet
	address    netip.Addr // the primary one
	dnsName    string
	launched   time.Time
	interfaces []*networkInterface
	terminated history[bool]
}

func newModel(types []Type, reuse Reuse) *model {
	m := &model{
		subnets:    map[string]*subnet{},
		interfaces: map[string]*networkInterface{},
		instances:  map[string]*instance{},
		types:      map[string]Type{},
		reuse:      reuse,
	}
	for _, t := range types {
		m.types[t.Name] = t
	}
	return m
}

func (m *model) newID(kind string) string {
	m.made++
	return fmt.Sprintf("%s-%017x", kind, m.made)
}

func (m *model) addSubnet(id, zone string, cidr netip.Prefix) error {
	if !cidr.Addr().Is4() || cidr != cidr.Masked() || cidr.Bits() < 16 || cidr.Bits() > 28 {
		return fmt.Errorf("subnet %s: %s is no IPv4 block between /16 and /28", id, cidr)
	}
	for _, other := range m.subnets {
		if other.id == id || other.space.cidr.Overlaps(cidr) {
			return fmt.Errorf("subnet %s %s: there is %s %s already", id, cidr, other.id, other.space.cidr)
		}
	}
	s := &subnet{id: id, zone: zone, space: newSpace(cidr)}
	s.available.set(time.Now(), s.space.available)
	m.subnets[id] = s
	return nil
}

func (m *model) subnet(id string) (*subnet, error) {
	if s, ok := m.subnets[id]; ok {
		return s, nil
	}
	return nil, refuse(CodeInvalidSubnet, "The subnet ID '%s' does not exist", id)
}

func (m *model) addReservation(subnetID string, cidr netip.Prefix, kind ReservationKind) (string, error) {
	s, err := m.subnet(subnetID)
	if err != nil {
		return "", err
	}
	use, ok := map[ReservationKind]purpose{ReservedForPrefixes: forPrefixes, ReservedExplicit: forExplicit}[kind]
	if !ok {
		return "", refuse(CodeInvalidValue, "reservation type %q is neither prefix nor explicit", kind)
	}
	if cidr != cidr.Masked() || s.space.at(cidr) == nil {
		return "", refuse(CodeInvalidValue, "%s is no block of the subnet %s", cidr, s.space.cidr)
	}
	if slices.ContainsFunc(s.reservations, func(r reservation) bool { return r.cidr.Overlaps(cidr) }) {
		return "", refuse(CodeInvalidValue, "%s overlaps another reservation", cidr)
	}
	r := reservation{id: m.newID("scr"), cidr: cidr, kind: kind}
	s.reservations = append(s.reservations, r)
	s.space.reserve(cidr, use)
	s.available.set(time.Now(), s.space.available)
	return r.id, nil
}

func (m *model) removeReservation(id string) error {
	for _, s := range m.subnets {
		i := slices.IndexFunc(s.reservations, func(r reservation) bool { return r.id == id })
		if i < 0 {
			continue
		}
		s.space.reserve(s.reservations[i].cidr, forAnything)
		s.reservations = slices.Delete(s.reservations, i, i+1)
		s.available.set(time.Now(), s.space.available)
		return nil
	}
	return refuse(CodeInvalidValue, "there is no reservation %s", id)
}

func (m *model) addInstance(i Instance) (*networkInterface, error) {
	kind, ok := m.types[i.Type]
	if !ok {
		return nil, refuse(CodeInvalidInstanceType, "Invalid instance type: %s", i.Type)
	}
	if m.instances[i.ID] != nil || i.ID == "" {
		return nil, fmt.Errorf("instance %q: it needs an id of its own", i.ID)
	}
	s, err := m.subnet(i.Subnet)
	if err != nil {
		return nil, err
	}
	vm := &instance{id: i.ID, kind: kind, subnet: s, launched: time.Now()}
	eni, err := m.addInterface(s, vm, 0, i.Address)
	if err != nil {
		return nil, err
	}
	vm.address = eni.primary
	vm.dnsName = cmp.Or(i.DNSName, ipName(eni.primary, s.zone))
	vm.terminated.set(vm.launched, false)
	m.instances[i.ID] = vm
	return eni, nil
}

// ipName is the private DNS name that EC2 makes of an address. The region of a
// zone is its name without the last letter.
func ipName(a netip.Addr, zone string) string {
	end := "ec2.internal"
	if region := zone[:max(0, len(zone)-1)]; region != "us-east-1" {
		end = region + ".compute.internal"
	}
	return fmt.Sprintf("ip-%s.%s", strings.ReplaceAll(a.String(), ".", "-"), end)
}

// addInterface makes an interface at primary, or at an address that EC2
// chooses. Where vm is nil it belongs to somebody else, and has no limit.
func (m *model) addInterface(s *subnet, vm *instance, device int, primary netip.Addr) (*networkInterface, error) {
	eni := &networkInterface{id: m.newID("eni"), subnet: s, instance: vm, device: device, attached: time.Now()}
	if vm != nil {
		if slices.ContainsFunc(vm.interfaces, func(o *networkInterface) bool { return o.device == device }) {
			return nil, fmt.Errorf("instance %s has an interface at device index %d already", vm.id, device)
		}
	}
	var err error
	if eni.primary, err = s.choosePrimary(primary, m.reuse); err != nil {
		return nil, err
	}
	if vm != nil {
		vm.interfaces = append(vm.interfaces, eni)
	}
	eni.mac = macOf(eni.id)
	eni.slots.set(eni.attached, holding{})
	m.interfaces[eni.id] = eni
	m.claim(eni, []netip.Prefix{hostPrefix(eni.primary)}, byOtherClient)
	return eni, nil
}

func (s *subnet) choosePrimary(wanted netip.Addr, order Reuse) (netip.Addr, error) {
	if wanted.IsValid() {
		if !s.space.assignable(hostPrefix(wanted)) {
			return wanted, refuse(CodeInvalidValue, "Address %s is in use, reserved, or not in subnet %s", wanted, s.id)
		}
		return wanted, nil
	}
	free := s.space.freeAddresses(1, order, nil)
	if len(free) == 0 {
		return wanted, errNoAddress
	}
	return free[0], nil
}

// terminate ends an instance and deletes its interfaces. EC2 goes on showing
// it as terminated.
func (m *model) terminate(id string) error {
	vm := m.instances[id]
	if vm == nil {
		return refuse(CodeInvalidInstance, "The instance ID '%s' does not exist", id)
	}
	for _, eni := range vm.interfaces {
		if !eni.slots.now().deleted {
			m.deleteInterface(eni)
		}
	}
	vm.terminated.set(time.Now(), true)
	return nil
}

func (m *model) deleteInterface(eni *networkInterface) {
	held := append(eni.slots.now().ranges(), hostPrefix(eni.primary))
	eni.slots.set(time.Now(), holding{deleted: true})
	m.release(eni, held, byOtherClient)
}

func (m *model) networkInterface(id string) (*networkInterface, error) {
	if eni, ok := m.interfaces[id]; ok && !eni.slots.now().deleted {
		return eni, nil
	}
	return nil, refuse(CodeInvalidInterface, "The networkInterface ID '%s' does not exist", id)
}

// limit is the most slots of the interface, the primary address included; 0 is
// no limit.
func (eni *networkInterface) limit() int {
	if eni.instance == nil {
		return 0
	}
	return eni.instance.kind.Addresses
}

func (eni *networkInterface) snapshot() Interface {
	i := Interface{
		ID:      eni.id,
		Subnet:  eni.subnet.id,
		Device:  eni.device,
		Limit:   eni.limit(),
		Primary: eni.primary,
		Slots:   eni.slots.now().Slots,
	}
	if eni.instance != nil {
		i.Instance, i.Type = eni.instance.id, eni.instance.kind.Name
	}
	i.Addresses, i.Prefixes = slices.Clone(i.Addresses), slices.Clone(i.Prefixes)
	return i
}

// macOf makes a locally administered MAC address out of an id.
func macOf(id string) string {
	h := fnv.New64a()
	h.Write([]byte(id))
	b := h.Sum(nil)
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4])
}
