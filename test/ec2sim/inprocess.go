package ec2sim

import (
	"errors"
	"net/netip"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Do carries out one call for a caller in the same process, as ServeHTTP does for one over
// HTTP: with its latency, throttling, faults and entry in the log. form has the parameters
// of EC2's query protocol, without the action. The answer is the SDK's output of the
// action. An error is an *Error, or ErrDropped, and Do returns only when the call is over.
func (s *Server) Do(action string, form url.Values) (any, error) {
	q := query{action: action, form: form}
	call := s.log.begin(q)
	a, err := s.serve(q, call)
	refusal, _ := errors.AsType[*Error](err)
	s.log.end(call, refusal)
	if err != nil {
		return nil, err
	}
	return a.(interface{ output() any }).output(), nil
}

// StatusOf is the HTTP status that goes with an error code.
func StatusOf(code string) int { return statusOf(code) }

// FreeAddresses lists the addresses of a subnet that anybody can take, lowest first.
func (s *Server) FreeAddresses(subnetID string) []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	subnet, err := s.model.subnet(subnetID)
	if err != nil {
		return nil
	}
	var free []netip.Addr
	for i := range subnet.space.cells {
		if subnet.space.cells[i].available() {
			free = append(free, subnet.space.addr(i))
		}
	}
	return free
}

func (a *assignAnswer) output() any {
	out := &ec2.AssignPrivateIpAddressesOutput{NetworkInterfaceId: &a.Interface, AssignedIpv4Prefixes: prefixesOut(a.Prefixes)}
	for _, x := range a.Addresses {
		out.AssignedPrivateIpAddresses = append(out.AssignedPrivateIpAddresses, types.AssignedPrivateIpAddress{PrivateIpAddress: aws.String(x.Address.String())})
	}
	return out
}

func prefixesOut(prefixes []prefixAnswer) []types.Ipv4PrefixSpecification {
	out := make([]types.Ipv4PrefixSpecification, len(prefixes))
	for i, p := range prefixes {
		out[i].Ipv4Prefix = aws.String(p.Prefix.String())
	}
	return out
}

func (a *unassignAnswer) output() any { return &ec2.UnassignPrivateIpAddressesOutput{} }

func (a *interfacesAnswer) output() any {
	out := &ec2.DescribeNetworkInterfacesOutput{NextToken: tokenOut(a.NextToken)}
	for i := range a.Interfaces {
		out.NetworkInterfaces = append(out.NetworkInterfaces, a.Interfaces[i].output())
	}
	return out
}

// tokenOut is the token of the next page; nil for the last one, as the SDK's paginators
// have it.
func tokenOut(token string) *string {
	if token == "" {
		return nil
	}
	return &token
}

func (a *interfaceAnswer) output() types.NetworkInterface {
	out := types.NetworkInterface{
		NetworkInterfaceId: &a.ID, SubnetId: &a.Subnet, VpcId: &a.VPC, AvailabilityZone: &a.Zone, OwnerId: &a.Owner,
		MacAddress: &a.MAC, Status: types.NetworkInterfaceStatus(a.Status), InterfaceType: types.NetworkInterfaceType(a.Kind),
		PrivateIpAddress: aws.String(a.Primary.String()), Ipv4Prefixes: prefixesOut(a.Prefixes),
	}
	for _, x := range a.Addresses {
		out.PrivateIpAddresses = append(out.PrivateIpAddresses, types.NetworkInterfacePrivateIpAddress{
			PrivateIpAddress: aws.String(x.Address.String()), Primary: x.Primary,
		})
	}
	if t := a.Attachment; t != nil {
		out.Attachment = &types.NetworkInterfaceAttachment{
			AttachmentId: &t.ID, InstanceId: &t.Instance, DeviceIndex: aws.Int32(int32(t.Device)), NetworkCardIndex: aws.Int32(int32(t.Card)),
			Status: types.AttachmentStatus(t.Status), AttachTime: &t.Time, DeleteOnTermination: &t.Dies,
		}
	}
	return out
}

func (a *instancesAnswer) output() any {
	out := &ec2.DescribeInstancesOutput{NextToken: tokenOut(a.NextToken)}
	for _, r := range a.Reservations {
		x := types.Reservation{ReservationId: &r.ID, OwnerId: &r.Owner}
		for i := range r.Instances {
			x.Instances = append(x.Instances, r.Instances[i].output())
		}
		out.Reservations = append(out.Reservations, x)
	}
	return out
}

func (a *instanceAnswer) output() types.Instance {
	out := types.Instance{
		InstanceId: &a.ID, InstanceType: types.InstanceType(a.Type), Hypervisor: types.HypervisorType(a.Hypervisor),
		State:     &types.InstanceState{Code: aws.Int32(int32(a.State.Code)), Name: types.InstanceStateName(a.State.Name)},
		Placement: &types.Placement{AvailabilityZone: &a.Zone}, LaunchTime: &a.Launched,
		PrivateDnsName: &a.DNSName, PrivateIpAddress: &a.Address, SubnetId: &a.Subnet, VpcId: &a.VPC,
	}
	for i := range a.Interfaces {
		eni := a.Interfaces[i].output()
		out.NetworkInterfaces = append(out.NetworkInterfaces, types.InstanceNetworkInterface{
			NetworkInterfaceId: eni.NetworkInterfaceId, SubnetId: eni.SubnetId, PrivateIpAddress: eni.PrivateIpAddress,
			Attachment: &types.InstanceNetworkInterfaceAttachment{
				DeviceIndex: eni.Attachment.DeviceIndex, NetworkCardIndex: eni.Attachment.NetworkCardIndex, Status: eni.Attachment.Status,
			},
		})
	}
	return out
}

func (a *typesAnswer) output() any {
	out := &ec2.DescribeInstanceTypesOutput{NextToken: tokenOut(a.NextToken)}
	for _, t := range a.Types {
		out.InstanceTypes = append(out.InstanceTypes, types.InstanceTypeInfo{
			InstanceType: types.InstanceType(t.Name), Hypervisor: types.InstanceTypeHypervisor(t.Hypervisor),
			NetworkInfo: &types.NetworkInfo{
				Ipv4AddressesPerInterface: aws.Int32(int32(t.Addresses)), MaximumNetworkInterfaces: aws.Int32(int32(t.Interfaces)),
			},
		})
	}
	return out
}

func (a *subnetsAnswer) output() any {
	out := &ec2.DescribeSubnetsOutput{NextToken: tokenOut(a.NextToken)}
	for _, s := range a.Subnets {
		out.Subnets = append(out.Subnets, types.Subnet{
			SubnetId: &s.ID, VpcId: &s.VPC, OwnerId: &s.Owner, State: types.SubnetState(s.State), AvailabilityZone: &s.Zone,
			CidrBlock: aws.String(s.CIDR.String()), AvailableIpAddressCount: aws.Int32(int32(s.Available)),
		})
	}
	return out
}

func (a *reservationsAnswer) output() any {
	out := &ec2.GetSubnetCidrReservationsOutput{NextToken: tokenOut(a.NextToken)}
	for _, r := range a.Reservations {
		out.SubnetIpv4CidrReservations = append(out.SubnetIpv4CidrReservations, types.SubnetCidrReservation{
			SubnetCidrReservationId: &r.ID, SubnetId: &r.Subnet, Cidr: aws.String(r.CIDR.String()),
			ReservationType: types.SubnetCidrReservationType(r.Kind), OwnerId: &r.Owner,
		})
	}
	return out
}
