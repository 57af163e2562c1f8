package ec2sim

import (
	"fmt"
	"net/netip"
	"sync"
)

// The methods of this file are other clients of EC2: they change the model past
// the API, at once, without latency, throttling, faults or an entry in the log
// of calls. Changes records them with call number 0.

// Assign gives slots to an interface by the rules of
// AssignPrivateIpAddresses. Its errors are of type *Error.
func (s *Server) Assign(eni string, r Request) (Slots, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.model.assign(eni, r, byOtherClient)
}

// Unassign takes slots from an interface by the rules of
// UnassignPrivateIpAddresses. Its errors are of type *Error.
func (s *Server) Unassign(eni string, gone Slots) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.model.unassign(eni, gone, byOtherClient)
}

// Occupy fills ranges of a subnet, each a block or a single address, with
// interfaces of somebody else, one for each address. All must be free, or
// nothing is done. The function that it returns gives everything back, and may
// be called more than once.
func (s *Server) Occupy(subnetID string, ranges ...netip.Prefix) (giveBack func(), err error) {
	return s.occupy(subnetID, false, ranges)
}

func (s *Server) occupy(subnetID string, unseen bool, ranges []netip.Prefix) (giveBack func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	subnet, err := s.model.subnet(subnetID)
	if err != nil {
		return nil, err
	}
	for i, r := range ranges {
		if !subnet.space.assignable(r) || overlapsAny(r, ranges[:i]) {
			return nil, fmt.Errorf("subnet %s: %s is not free", subnetID, r)
		}
	}
	var addrs []netip.Addr
	for _, r := range ranges {
		for a := r.Masked().Addr(); r.Contains(a); a = a.Next() {
			addrs = append(addrs, a)
		}
	}
	return s.settle(subnet, addrs, unseen)
}

// OccupyUnseen is Occupy by another account that shares the subnet: its interfaces are
// in nobody's describes, and show only in how many addresses are free
// (https://docs.aws.amazon.com/vpc/latest/userguide/vpc-sharing.html).
func (s *Server) OccupyUnseen(subnetID string, ranges ...netip.Prefix) (giveBack func(), err error) {
	return s.occupy(subnetID, true, ranges)
}

// Fragment occupies one address in the middle of every wholly free /28 of a
// subnet, so that no prefix can be had while many addresses are free.
func (s *Server) Fragment(subnetID string) (giveBack func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	subnet, err := s.model.subnet(subnetID)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for i := 0; i < len(subnet.space.cells); i += blockSize {
		if subnet.space.assignable(subnet.space.block(i)) {
			addrs = append(addrs, subnet.space.addr(i+blockSize/2))
		}
	}
	return s.settle(subnet, addrs, false)
}

// settle makes an interface of somebody else at each address.
func (s *Server) settle(subnet *subnet, addrs []netip.Addr, unseen bool) (giveBack func(), err error) {
	settled := make([]*networkInterface, 0, len(addrs))
	for _, a := range addrs {
		eni, err := s.model.addInterface(subnet, nil, 0, a)
		if err != nil {
			return nil, err
		}
		eni.unseen = unseen
		settled = append(settled, eni)
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, eni := range settled {
			s.model.deleteInterface(eni)
		}
	}), nil
}
