package cloud

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"slotwise.dev/slotwise/allocator/ledger"
)

// Lookups filter by id: an id that EC2 does not know is then absent from the answer.
// Were the ids named in the request, one that is unknown would fail the whole call.

// Instance is an EC2 instance.
type Instance struct {
	ID         string
	Type       string
	PrimaryENI string // the interface of device index 0, which a Windows node's pods use
	SubnetID   string // of the primary interface
	State      string // as EC2 has it: pending, running, stopping, stopped
	DNSName    string // the private one, which is the Node's name unless its kubelet was told another
}

// Limits are those of an instance type.
type Limits struct {
	// AddressesPerInterface counts the slots of an interface, the first of which
	// holds its primary address.
	AddressesPerInterface int
	// Nitro instances can have prefixes.
	Nitro bool
}

// Interface is a network interface (ENI) as EC2 described it.
type Interface struct {
	ID         string
	InstanceID string // empty while it is attached to none
	SubnetID   string
	Primary    netip.Addr
	Blocks     []netip.Prefix // secondary IPs (/32) and prefixes (/28)
	AsOf       time.Time      // when the request was sent; EC2 may lag behind it
}

// Instance looks an instance up. One that is missing, shutting down or
// terminated is Gone.
func (c *Client) Instance(ctx context.Context, id string) (Instance, error) {
	i, found, err := c.instances.get(ctx, id)
	if err != nil {
		return Instance{}, about(err, id)
	}
	if !found || ended(i) {
		return Instance{}, &Error{Class: Gone, Action: DescribeInstances, About: id, Err: errors.New("no such instance")}
	}
	primary := slices.IndexFunc(i.NetworkInterfaces, isPrimary)
	if primary < 0 {
		return Instance{}, &Error{Class: OutOfStep, Action: DescribeInstances, About: id, Err: errors.New("no primary network interface")}
	}
	eni := i.NetworkInterfaces[primary]
	return Instance{
		ID:         id,
		Type:       string(i.InstanceType),
		PrimaryENI: aws.ToString(eni.NetworkInterfaceId),
		SubnetID:   aws.ToString(eni.SubnetId),
		State:      state(i),
		DNSName:    aws.ToString(i.PrivateDnsName),
	}, nil
}

func state(i types.Instance) string {
	if i.State == nil {
		return ""
	}
	return string(i.State.Name)
}

// ended says that an instance will not run again.
func ended(i types.Instance) bool {
	s := state(i)
	return s == string(types.InstanceStateNameShuttingDown) || s == string(types.InstanceStateNameTerminated)
}

func isPrimary(i types.InstanceNetworkInterface) bool {
	return i.Attachment != nil && aws.ToInt32(i.Attachment.DeviceIndex) == 0 && aws.ToInt32(i.Attachment.NetworkCardIndex) == 0
}

func (c *Client) describeInstances(ctx context.Context, ids []string) (map[string]types.Instance, error) {
	found := map[string]types.Instance{}
	p := ec2.NewDescribeInstancesPaginator(c.api, &ec2.DescribeInstancesInput{
		Filters:    []types.Filter{{Name: aws.String("instance-id"), Values: ids}},
		MaxResults: aws.Int32(maxPage),
	})
	err := pages(ctx, c, DescribeInstances, "", p, func(page *ec2.DescribeInstancesOutput, _ time.Time) {
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				found[aws.ToString(i.InstanceId)] = i
			}
		}
	})
	return found, err
}

// Limits looks up the limits of an instance type, once in the life of the
// process. A type that EC2 does not know is Refused.
func (c *Client) Limits(ctx context.Context, instanceType string) (Limits, error) {
	if known, ok := c.limits.Load(instanceType); ok {
		return known.(Limits), nil
	}
	t, found, err := c.types.get(ctx, instanceType)
	if err != nil {
		return Limits{}, about(err, instanceType)
	}
	if !found || t.NetworkInfo == nil || aws.ToInt32(t.NetworkInfo.Ipv4AddressesPerInterface) < 1 {
		return Limits{}, &Error{Class: Refused, Action: DescribeInstanceTypes, About: instanceType, Err: errors.New("unknown instance type")}
	}
	limits := Limits{
		AddressesPerInterface: int(*t.NetworkInfo.Ipv4AddressesPerInterface),
		// Bare metal has no hypervisor, but all of it is built on Nitro.
		// https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-nitro-instances.html
		Nitro: t.Hypervisor == types.InstanceTypeHypervisorNitro || aws.ToBool(t.BareMetal),
	}
	c.limits.Store(instanceType, limits)
	return limits, nil
}

func (c *Client) describeTypes(ctx context.Context, names []string) (map[string]types.InstanceTypeInfo, error) {
	found := map[string]types.InstanceTypeInfo{}
	p := ec2.NewDescribeInstanceTypesPaginator(c.api, &ec2.DescribeInstanceTypesInput{
		Filters:    []types.Filter{{Name: aws.String("instance-type"), Values: names}},
		MaxResults: aws.Int32(maxTypesPage),
	})
	err := pages(ctx, c, DescribeInstanceTypes, "", p, func(page *ec2.DescribeInstanceTypesOutput, _ time.Time) {
		for _, t := range page.InstanceTypes {
			found[string(t.InstanceType)] = t
		}
	})
	return found, err
}

// described is an interface with the time at which EC2 was asked for it.
type described struct {
	types.NetworkInterface
	asOf time.Time
}

// Interface looks a network interface up. A missing one is Gone; one that cannot
// be read is Lost.
func (c *Client) Interface(ctx context.Context, eni string) (Interface, error) {
	s, found, err := c.interfaces.get(ctx, eni)
	if err != nil {
		return Interface{}, about(err, eni)
	}
	if !found {
		return Interface{}, &Error{Class: Gone, Action: DescribeInterfaces, About: eni, Err: errors.New("no such network interface")}
	}
	primary, blocks, err := contents(s.NetworkInterface)
	if err != nil {
		return Interface{}, wrap(DescribeInterfaces, eni, err)
	}
	i := Interface{ID: eni, SubnetID: aws.ToString(s.SubnetId), Primary: primary, Blocks: blocks, AsOf: s.asOf}
	if s.Attachment != nil {
		i.InstanceID = aws.ToString(s.Attachment.InstanceId)
	}
	return i, nil
}

func (c *Client) describeInterfaces(ctx context.Context, enis []string) (map[string]described, error) {
	found := map[string]described{}
	err := c.eachInterface(ctx, "", "network-interface-id", enis, func(i types.NetworkInterface, sent time.Time) {
		found[aws.ToString(i.NetworkInterfaceId)] = described{i, sent}
	})
	return found, err
}

// eachInterface visits all interfaces that pass a filter.
func (c *Client) eachInterface(ctx context.Context, id, filter string, values []string, visit func(types.NetworkInterface, time.Time)) error {
	p := ec2.NewDescribeNetworkInterfacesPaginator(c.api, &ec2.DescribeNetworkInterfacesInput{
		Filters:    []types.Filter{{Name: &filter, Values: values}},
		MaxResults: aws.Int32(maxPage),
	})
	return pages(ctx, c, DescribeInterfaces, id, p, func(page *ec2.DescribeNetworkInterfacesOutput, sent time.Time) {
		for _, i := range page.NetworkInterfaces {
			visit(i, sent)
		}
	})
}

// contents reads the primary address and the blocks of an interface.
func contents(i types.NetworkInterface) (primary netip.Addr, blocks []netip.Prefix, err error) {
	for _, a := range i.PrivateIpAddresses {
		b, err := parseBlock(ledger.SecondaryIP, aws.ToString(a.PrivateIpAddress))
		switch {
		case err != nil:
			return netip.Addr{}, nil, err
		case aws.ToBool(a.Primary):
			primary = b.Addr()
		default:
			blocks = append(blocks, b)
		}
	}
	for _, p := range i.Ipv4Prefixes {
		b, err := parseBlock(ledger.Prefix, aws.ToString(p.Ipv4Prefix))
		if err != nil {
			return netip.Addr{}, nil, err
		}
		blocks = append(blocks, b)
	}
	return primary, blocks, nil
}
