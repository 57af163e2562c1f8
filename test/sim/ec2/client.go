package ec2

import (
	"context"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/test/ec2sim"
)

// attemptTimeout is how long the SDK's HTTP client of allocator/cloud waits for an answer.
const attemptTimeout = 45 * time.Second

// Gate is what a process passes on its way out and in; see test/sim/process.
type Gate interface {
	Enter(effect bool) (waited bool, err error)
	Leave() error
}

// Client is EC2 for one process, as the SDK's client is: it implements cloud.API, with
// the SDK's errors and repetitions. It is safe for concurrent use.
type Client struct {
	server *ec2sim.Server
	gate   Gate
	thawed atomic.Uint32 // counts the calls that a freeze held up for longer than their contexts
}

var _ cloud.API = (*Client)(nil)

// NewClient makes a Client; gate may be nil.
func NewClient(server *ec2sim.Server, gate Gate) *Client { return &Client{server: server, gate: gate} }

// AssignPrivateIpAddresses is that of the SDK, as the other methods are.
func (c *Client) AssignPrivateIpAddresses(ctx context.Context, in *ec2.AssignPrivateIpAddressesInput, opts ...func(*ec2.Options)) (*ec2.AssignPrivateIpAddressesOutput, error) {
	f := change(in.NetworkInterfaceId, in.PrivateIpAddresses, in.Ipv4Prefixes)
	number(f, "SecondaryPrivateIpAddressCount", in.SecondaryPrivateIpAddressCount)
	number(f, "Ipv4PrefixCount", in.Ipv4PrefixCount)
	return do[*ec2.AssignPrivateIpAddressesOutput](ctx, c, cloud.Assign, f, opts)
}

// UnassignPrivateIpAddresses is a change.
func (c *Client) UnassignPrivateIpAddresses(ctx context.Context, in *ec2.UnassignPrivateIpAddressesInput, opts ...func(*ec2.Options)) (*ec2.UnassignPrivateIpAddressesOutput, error) {
	f := change(in.NetworkInterfaceId, in.PrivateIpAddresses, in.Ipv4Prefixes)
	return do[*ec2.UnassignPrivateIpAddressesOutput](ctx, c, cloud.Unassign, f, opts)
}

// DescribeNetworkInterfaces is a read.
func (c *Client) DescribeNetworkInterfaces(ctx context.Context, in *ec2.DescribeNetworkInterfacesInput, opts ...func(*ec2.Options)) (*ec2.DescribeNetworkInterfacesOutput, error) {
	f := read(in.Filters, in.MaxResults, in.NextToken)
	list(f, "NetworkInterfaceId", in.NetworkInterfaceIds)
	return do[*ec2.DescribeNetworkInterfacesOutput](ctx, c, cloud.DescribeInterfaces, f, opts)
}

// DescribeInstances is a read.
func (c *Client) DescribeInstances(ctx context.Context, in *ec2.DescribeInstancesInput, opts ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	f := read(in.Filters, in.MaxResults, in.NextToken)
	list(f, "InstanceId", in.InstanceIds)
	return do[*ec2.DescribeInstancesOutput](ctx, c, cloud.DescribeInstances, f, opts)
}

// DescribeInstanceTypes is a read.
func (c *Client) DescribeInstanceTypes(ctx context.Context, in *ec2.DescribeInstanceTypesInput, opts ...func(*ec2.Options)) (*ec2.DescribeInstanceTypesOutput, error) {
	f := read(in.Filters, in.MaxResults, in.NextToken)
	return do[*ec2.DescribeInstanceTypesOutput](ctx, c, cloud.DescribeInstanceTypes, f, opts)
}

// DescribeSubnets is a read.
func (c *Client) DescribeSubnets(ctx context.Context, in *ec2.DescribeSubnetsInput, opts ...func(*ec2.Options)) (*ec2.DescribeSubnetsOutput, error) {
	f := read(in.Filters, in.MaxResults, in.NextToken)
	list(f, "SubnetId", in.SubnetIds)
	return do[*ec2.DescribeSubnetsOutput](ctx, c, cloud.DescribeSubnets, f, opts)
}

// GetSubnetCidrReservations is a read.
func (c *Client) GetSubnetCidrReservations(ctx context.Context, in *ec2.GetSubnetCidrReservationsInput, opts ...func(*ec2.Options)) (*ec2.GetSubnetCidrReservationsOutput, error) {
	f := read(in.Filters, in.MaxResults, in.NextToken)
	text(f, "SubnetId", in.SubnetId)
	return do[*ec2.GetSubnetCidrReservationsOutput](ctx, c, cloud.GetReservations, f, opts)
}

// The parameters of EC2's query protocol, as test/ec2sim reads them.

func change(eni *string, addresses, prefixes []string) url.Values {
	f := url.Values{}
	text(f, "NetworkInterfaceId", eni)
	list(f, "PrivateIpAddress", addresses)
	list(f, "Ipv4Prefix", prefixes)
	return f
}

func read(filters []types.Filter, most *int32, token *string) url.Values {
	f := url.Values{}
	for i, x := range filters {
		prefix := "Filter." + strconv.Itoa(i+1) + "."
		text(f, prefix+"Name", x.Name)
		list(f, prefix+"Value", x.Values)
	}
	number(f, "MaxResults", most)
	text(f, "NextToken", token)
	return f
}

func text(f url.Values, name string, value *string) {
	if v := aws.ToString(value); v != "" {
		f[name] = []string{v}
	}
}

func number(f url.Values, name string, value *int32) {
	if value != nil {
		f[name] = []string{strconv.Itoa(int(*value))}
	}
}

func list(f url.Values, name string, values []string) {
	for i, v := range values {
		f[name+"."+strconv.Itoa(i+1)] = []string{v}
	}
}
