package ec2sim

import (
	"strconv"
	"strings"
	"time"
)

func describeNetworkInterfaces(m *model, q query, c conditions) (answer, Slots, error) {
	found, token, err := read(q, c, reading[*networkInterface]{
		ids:      "NetworkInterfaceId",
		all:      m.interfaces,
		missing:  func(id string) error { _, err := m.networkInterface(id); return err },
		visible:  func(eni *networkInterface) bool { return !eni.unseen && !eni.slots.at(c.asOf).deleted },
		field:    (*networkInterface).field,
		mostPage: 1000,
	})
	a := &interfacesAnswer{NextToken: token}
	for _, eni := range found {
		a.Interfaces = append(a.Interfaces, eni.describe(c.asOf))
	}
	return a, Slots{}, err
}

// field is the value of a filter.
func (eni *networkInterface) field(name string) (value string, known bool) {
	switch name {
	case "network-interface-id":
		return eni.id, true
	case "subnet-id":
		return eni.subnet.id, true
	case "vpc-id":
		return vpcID, true
	case "availability-zone":
		return eni.subnet.zone, true
	case "private-ip-address":
		return eni.primary.String(), true
	case "attachment.instance-id":
		if eni.instance != nil {
			return eni.instance.id, true
		}
		return "", true
	case "attachment.device-index":
		if eni.instance != nil {
			return strconv.Itoa(eni.device), true
		}
		return "", true
	}
	return "", false
}

func (eni *networkInterface) describe(asOf time.Time) interfaceAnswer {
	held := eni.slots.at(asOf)
	a := interfaceAnswer{
		ID:       eni.id,
		Subnet:   eni.subnet.id,
		VPC:      vpcID,
		Zone:     eni.subnet.zone,
		Owner:    ownerID,
		Kind:     "interface",
		Status:   "available",
		MAC:      eni.mac,
		Primary:  eni.primary,
		Prefixes: prefixAnswers(held.Prefixes),
	}
	a.Addresses = make([]addressAnswer, 0, 1+len(held.Addresses))
	a.Addresses = append(a.Addresses, addressAnswer{eni.primary, new(true)})
	for _, addr := range held.Addresses {
		a.Addresses = append(a.Addresses, addressAnswer{addr, new(false)})
	}
	if eni.instance != nil {
		a.Status = "in-use"
		a.Attachment = &attachmentAnswer{
			ID:       "eni-attach-" + strings.TrimPrefix(eni.id, "eni-"),
			Instance: eni.instance.id,
			Device:   eni.device,
			Status:   "attached",
			Time:     eni.attached.UTC(),
			Dies:     true,
		}
	}
	return a
}

func describeInstances(m *model, q query, c conditions) (answer, Slots, error) {
	found, token, err := read(q, c, reading[*instance]{
		ids: "InstanceId",
		all: m.instances,
		missing: func(id string) error {
			return refuse(CodeInvalidInstance, "The instance ID '%s' does not exist", id)
		},
		field:    func(i *instance, name string) (string, bool) { return i.field(name, c.asOf) },
		mostPage: 1000,
	})
	a := &instancesAnswer{NextToken: token}
	for _, i := range found {
		a.Reservations = append(a.Reservations, instanceReservation{
			ID:        "r-" + strings.TrimPrefix(i.id, "i-"),
			Owner:     ownerID,
			Instances: []instanceAnswer{i.describe(c.asOf)},
		})
	}
	return a, Slots{}, err
}

func (i *instance) field(name string, asOf time.Time) (value string, known bool) {
	a := i.describe(asOf)
	switch name {
	case "instance-id":
		return a.ID, true
	case "instance-type":
		return a.Type, true
	case "instance-state-name":
		return a.State.Name, true
	case "subnet-id":
		return a.Subnet, true
	case "vpc-id":
		return a.VPC, true
	case "availability-zone":
		return a.Zone, true
	case "private-ip-address":
		return a.Address, true
	case "private-dns-name":
		return a.DNSName, true
	}
	return "", false
}

func (i *instance) state(asOf time.Time) stateAnswer {
	if i.terminated.at(asOf) {
		return stateAnswer{48, "terminated"}
	}
	return stateAnswer{16, "running"}
}

// describe gives of a terminated instance only what EC2 goes on showing.
// Hypervisor is "xen" for every instance, nitro included, as EC2 documents;
// only DescribeInstanceTypes tells them apart.
func (i *instance) describe(asOf time.Time) instanceAnswer {
	a := instanceAnswer{
		ID:         i.id,
		Type:       i.kind.Name,
		State:      i.state(asOf),
		Zone:       i.subnet.zone,
		Platform:   "windows",
		Hypervisor: Xen,
		Launched:   i.launched.UTC(),
	}
	if i.terminated.at(asOf) {
		return a
	}
	a.DNSName, a.Address, a.Subnet, a.VPC = i.dnsName, i.address.String(), i.subnet.id, vpcID
	for _, eni := range i.interfaces {
		inside := eni.describe(asOf)
		inside.Zone, inside.Attachment.Instance = "", ""
		a.Interfaces = append(a.Interfaces, inside)
	}
	return a
}

func describeInstanceTypes(m *model, q query, c conditions) (answer, Slots, error) {
	found, token, err := read(q, c, reading[Type]{
		ids: "InstanceType",
		all: m.types,
		missing: func(name string) error {
			return refuse(CodeInvalidInstanceType, "The following supplied instance types do not exist: [%s]", name)
		},
		visible:  func(t Type) bool { return !t.Hidden },
		field:    Type.field,
		mostIDs:  100,
		mostPage: 100,
	})
	a := &typesAnswer{NextToken: token}
	for _, t := range found {
		a.Types = append(a.Types, typeAnswer{t.Name, t.Hypervisor, t.Addresses, t.Interfaces})
	}
	return a, Slots{}, err
}

func (t Type) field(name string) (value string, known bool) {
	switch name {
	case "instance-type":
		return t.Name, true
	case "hypervisor":
		return string(t.Hypervisor), true
	}
	return "", false
}

func describeSubnets(m *model, q query, c conditions) (answer, Slots, error) {
	found, token, err := read(q, c, reading[*subnet]{
		ids:      "SubnetId",
		all:      m.subnets,
		missing:  func(id string) error { _, err := m.subnet(id); return err },
		field:    (*subnet).field,
		mostPage: 1000,
	})
	a := &subnetsAnswer{NextToken: token}
	for _, s := range found {
		a.Subnets = append(a.Subnets, subnetAnswer{
			ID:        s.id,
			VPC:       vpcID,
			Owner:     ownerID,
			State:     "available",
			Zone:      s.zone,
			CIDR:      s.space.cidr,
			Available: s.available.at(c.asOf),
		})
	}
	return a, Slots{}, err
}

func (s *subnet) field(name string) (value string, known bool) {
	switch name {
	case "subnet-id":
		return s.id, true
	case "vpc-id":
		return vpcID, true
	case "availability-zone":
		return s.zone, true
	case "cidr-block":
		return s.space.cidr.String(), true
	}
	return "", false
}

func getSubnetCidrReservations(m *model, q query, c conditions) (answer, Slots, error) {
	s, err := m.subnet(q.form.Get("SubnetId"))
	if err != nil {
		return nil, Slots{}, err
	}
	all := map[string]reservation{}
	for _, r := range s.reservations {
		all[r.id] = r
	}
	found, token, err := read(q, c, reading[reservation]{all: all, field: reservation.field, mostPage: 1000})
	a := &reservationsAnswer{NextToken: token}
	for _, r := range found {
		a.Reservations = append(a.Reservations, reservationAnswer{r.id, s.id, r.cidr, r.kind, ownerID})
	}
	return a, Slots{}, err
}

func (r reservation) field(name string) (value string, known bool) {
	if name == "reservationType" {
		return string(r.kind), true
	}
	return "", false
}
