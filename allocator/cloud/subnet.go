package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"slotwise.dev/slotwise/allocator/subnet"
)

// Subnet is a subnet and all that is assigned in it.
type Subnet struct {
	ID               string
	AvailabilityZone string
	CIDR             netip.Prefix
	Available        int                       // AvailableIpAddressCount: without what is reserved and unused
	Used             []netip.Prefix            // primary addresses and secondary IPs (/32), prefixes (/28)
	Interfaces       map[string][]netip.Prefix // the same by interface, without the primary addresses
	Holders          []Holder                  // the same again, with who holds them
	Reservations     []subnet.Reservation
	Unread           error     // why EC2 does not show the reservations; nil: it does
	AsOf             time.Time // before the first request was sent; EC2 may lag behind it
}

// Map is the map of what is used and reserved in the subnet. What EC2 does not show, as
// in a subnet that is shared with other accounts, is not on it: see subnet.Map.Hide.
func (s Subnet) Map() *subnet.Map {
	m := subnet.NewMap(s.CIDR, s.Reservations)
	for _, b := range s.Used {
		m.Take(b)
	}
	return m
}

// Subnet looks a subnet up, with three reads at the same time: as many calls as there
// are pages of interfaces, and two more. A missing subnet is Gone.
func (c *Client) Subnet(ctx context.Context, id string) (Subnet, error) {
	s := Subnet{ID: id, Interfaces: map[string][]netip.Prefix{}, AsOf: time.Now()}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.describeSubnet(ctx, &s) })
	group.Go(func() error { return c.describeUse(ctx, &s) })
	group.Go(func() (err error) {
		s.Reservations, err = c.reservations(ctx, id)
		if Classify(err) == Refused { // as in a subnet that another account shares: none are known
			s.Unread, err = err, nil
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return Subnet{}, err
	}
	return s, nil
}

// describeSubnet fills in what DescribeSubnets shows.
func (c *Client) describeSubnet(ctx context.Context, s *Subnet) error {
	var found *types.Subnet
	p := ec2.NewDescribeSubnetsPaginator(c.api, &ec2.DescribeSubnetsInput{
		Filters: []types.Filter{{Name: aws.String("subnet-id"), Values: []string{s.ID}}},
	})
	err := pages(ctx, c, DescribeSubnets, s.ID, p, func(page *ec2.DescribeSubnetsOutput, _ time.Time) {
		for _, sub := range page.Subnets {
			found = &sub
		}
	})
	if err != nil {
		return err
	}
	if found == nil {
		return &Error{Class: Gone, Action: DescribeSubnets, About: s.ID, Err: errors.New("no such subnet")}
	}
	s.AvailabilityZone = aws.ToString(found.AvailabilityZone)
	s.Available = int(aws.ToInt32(found.AvailableIpAddressCount))
	s.CIDR, err = parseCIDR(aws.ToString(found.CidrBlock))
	return wrap(DescribeSubnets, s.ID, err)
}

// describeUse fills in what the interfaces in a subnet hold.
func (c *Client) describeUse(ctx context.Context, s *Subnet) error {
	var bad error
	err := c.eachInterface(ctx, s.ID, "subnet-id", []string{s.ID}, func(i types.NetworkInterface, _ time.Time) {
		primary, blocks, err := contents(i)
		if err != nil {
			bad = err
			return
		}
		if primary.IsValid() {
			s.Used = append(s.Used, netip.PrefixFrom(primary, primary.BitLen()))
		}
		s.Used = append(s.Used, blocks...)
		s.Interfaces[aws.ToString(i.NetworkInterfaceId)] = blocks
		s.Holders = append(s.Holders, holder(i, primary, blocks))
	})
	if err != nil {
		return err
	}
	return wrap(DescribeInterfaces, s.ID, bad)
}

// reservations lists the IPv4 CIDR reservations of a subnet.
func (c *Client) reservations(ctx context.Context, id string) ([]subnet.Reservation, error) {
	var all []subnet.Reservation
	var bad error
	err := pages(ctx, c, GetReservations, id, &reservationPages{api: c.api, id: id}, func(page *ec2.GetSubnetCidrReservationsOutput, _ time.Time) {
		for _, r := range page.SubnetIpv4CidrReservations {
			cidr, err := parseCIDR(aws.ToString(r.Cidr))
			if err != nil {
				bad = err
			}
			all = append(all, subnet.Reservation{CIDR: cidr, Kind: subnet.ReservationKind(r.ReservationType)})
		}
	})
	if err != nil {
		return nil, err
	}
	return all, wrap(GetReservations, id, bad)
}

// reservationPages is the paginator that the SDK lacks for this action.
type reservationPages struct {
	api  API
	id   string
	next *string
	past bool // the first page
}

func (p *reservationPages) HasMorePages() bool { return !p.past || aws.ToString(p.next) != "" }

func (p *reservationPages) NextPage(ctx context.Context, opts ...func(*ec2.Options)) (*ec2.GetSubnetCidrReservationsOutput, error) {
	out, err := p.api.GetSubnetCidrReservations(ctx, &ec2.GetSubnetCidrReservationsInput{SubnetId: &p.id, NextToken: p.next}, opts...)
	if err != nil {
		return nil, err
	}
	p.next, p.past = out.NextToken, true
	return out, nil
}

func parseCIDR(text string) (netip.Prefix, error) {
	cidr, err := netip.ParsePrefix(text)
	if err != nil || !cidr.Addr().Is4() {
		return netip.Prefix{}, fmt.Errorf("EC2 gave %q, which is no IPv4 CIDR", text)
	}
	return cidr.Masked(), nil
}
