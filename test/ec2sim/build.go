package ec2sim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Inventory is what there is to be in a Server, as it stands in a file.
type Inventory struct {
	// Types are added to those that the server knows.
	Types     []Type     `json:"types,omitempty"`
	Subnets   []Subnet   `json:"subnets"`
	Instances []Instance `json:"instances,omitempty"`
}

// Subnet is a subnet of an Inventory.
type Subnet struct {
	ID           string        `json:"id"`
	Zone         string        `json:"zone"`
	CIDR         netip.Prefix  `json:"cidr"`
	Reservations []Reservation `json:"reservations,omitempty"`
}

// Reservation is a CIDR reservation of a Subnet.
type Reservation struct {
	CIDR netip.Prefix    `json:"cidr"`
	Kind ReservationKind `json:"type"`
}

// Build adds a whole inventory. It stops at the first error.
func (s *Server) Build(inventory Inventory) error {
	for _, t := range inventory.Types {
		s.AddType(t)
	}
	for _, subnet := range inventory.Subnets {
		if err := s.AddSubnet(subnet.ID, subnet.Zone, subnet.CIDR); err != nil {
			return err
		}
		for _, r := range subnet.Reservations {
			if _, err := s.AddReservation(subnet.ID, r.CIDR, r.Kind); err != nil {
				return fmt.Errorf("subnet %s: reservation %s: %w", subnet.ID, r.CIDR, err)
			}
		}
	}
	for _, i := range inventory.Instances {
		if _, err := s.AddInstance(i); err != nil {
			return fmt.Errorf("instance %s: %w", i.ID, err)
		}
	}
	return nil
}

// AddType adds an instance type, or replaces one for the instances to come.
func (s *Server) AddType(t Type) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.model.types[t.Name] = t
}

// AddSubnet adds an IPv4 subnet between /16 and /28.
func (s *Server) AddSubnet(id, zone string, cidr netip.Prefix) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.model.addSubnet(id, zone, cidr)
}

// AddReservation sets a block of a subnet aside, what is in use in it included.
func (s *Server) AddReservation(subnet string, cidr netip.Prefix, kind ReservationKind) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.model.addReservation(subnet, cidr, kind)
}

// RemoveReservation undoes AddReservation.
func (s *Server) RemoveReservation(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.model.removeReservation(id)
}

// AddInstance runs an instance, and returns its primary interface.
func (s *Server) AddInstance(i Instance) (Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	eni, err := s.model.addInstance(i)
	if err != nil {
		return Interface{}, err
	}
	return eni.snapshot(), nil
}

// AddInterface attaches another interface to an instance, at a device index
// above 0.
func (s *Server) AddInterface(instance string, device int) (Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	vm := s.model.instances[instance]
	if vm == nil || vm.terminated.now() {
		return Interface{}, refuse(CodeInvalidInstance, "The instance ID '%s' does not exist", instance)
	}
	eni, err := s.model.addInterface(vm.subnet, vm, device, netip.Addr{})
	if err != nil {
		return Interface{}, err
	}
	return eni.snapshot(), nil
}

// Terminate ends an instance: its interfaces are deleted with all they hold.
func (s *Server) Terminate(instance string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.model.terminate(instance)
}

// Interface is the state of an interface now, whatever the lag; false where
// there is none.
func (s *Server) Interface(eni string) (Interface, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.model.networkInterface(eni)
	if err != nil {
		return Interface{}, false
	}
	return i.snapshot(), true
}

// Interfaces lists all interfaces by id, those of somebody else included.
func (s *Server) Interfaces() []Interface {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Interface
	for _, eni := range s.model.interfaces {
		if !eni.slots.now().deleted {
			all = append(all, eni.snapshot())
		}
	}
	slices.SortFunc(all, func(a, b Interface) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// Subnets lists all subnets by id, with their reservations.
func (s *Server) Subnets() []Subnet {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Subnet, 0, len(s.model.subnets))
	for _, x := range s.model.subnets {
		subnet := Subnet{ID: x.id, Zone: x.zone, CIDR: x.space.cidr}
		for _, r := range x.reservations {
			subnet.Reservations = append(subnet.Reservations, Reservation{CIDR: r.cidr, Kind: r.kind})
		}
		all = append(all, subnet)
	}
	slices.SortFunc(all, func(a, b Subnet) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// Changes lists every change of what interfaces hold, oldest first.
func (s *Server) Changes() []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.model.changes)
}

// ChangesOf is the history of one address: the changes of ranges that contain
// it, oldest first.
func (s *Server) ChangesOf(addr netip.Addr) []Change {
	return slices.DeleteFunc(s.Changes(), func(c Change) bool { return !c.Range.Contains(addr) })
}
