package cloud

import (
	"context"
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"slotwise.dev/slotwise/allocator/ledger"
)

// once makes the SDK send a change one time only. It cannot know whether a
// change whose answer was lost was done.
func once(o *ec2.Options) { o.Retryer = aws.NopRetryer{} }

// Assign asks EC2 for n more blocks of a kind on a network interface, and
// returns them. EC2 gives all or none. The caller has its token from Admit.
//
// An answer that cannot be read, or that has not n blocks, is an error of class
// Lost: something was assigned, and only a lookup can say what.
func (c *Client) Assign(ctx context.Context, eni string, kind ledger.Kind, n int) ([]netip.Prefix, error) {
	in := &ec2.AssignPrivateIpAddressesInput{NetworkInterfaceId: &eni}
	if kind == ledger.Prefix {
		in.Ipv4PrefixCount = aws.Int32(int32(n))
	} else {
		in.SecondaryPrivateIpAddressCount = aws.Int32(int32(n))
	}
	return c.assign(ctx, in, kind, n)
}

// AssignNamed is Assign for these blocks of one kind and no others. EC2 refuses it
// where one of them is not free.
func (c *Client) AssignNamed(ctx context.Context, eni string, blocks []netip.Prefix) ([]netip.Prefix, error) {
	in := &ec2.AssignPrivateIpAddressesInput{NetworkInterfaceId: &eni}
	in.PrivateIpAddresses, in.Ipv4Prefixes = names(blocks)
	return c.assign(ctx, in, ledger.KindOf(blocks[0]), len(blocks))
}

// names writes blocks as EC2 does: addresses of secondary IPs, CIDRs of prefixes.
func names(blocks []netip.Prefix) (addresses, prefixes []string) {
	for _, b := range blocks {
		if ledger.KindOf(b) == ledger.Prefix {
			prefixes = append(prefixes, b.String())
		} else {
			addresses = append(addresses, b.Addr().String())
		}
	}
	return addresses, prefixes
}

func (c *Client) assign(ctx context.Context, in *ec2.AssignPrivateIpAddressesInput, kind ledger.Kind, n int) ([]netip.Prefix, error) {
	eni := *in.NetworkInterfaceId
	out, _, err := call(ctx, c, Assign, eni, func(ctx context.Context) (*ec2.AssignPrivateIpAddressesOutput, error) {
		return c.api.AssignPrivateIpAddresses(ctx, in, once)
	})
	if err != nil {
		return nil, err
	}
	blocks, err := answered(kind, n, assigned(kind, out))
	return blocks, wrap(Assign, eni, err)
}

// assigned picks the answer's blocks of a kind, as text.
func assigned(kind ledger.Kind, out *ec2.AssignPrivateIpAddressesOutput) []string {
	var texts []string
	if kind == ledger.Prefix {
		for _, p := range out.AssignedIpv4Prefixes {
			texts = append(texts, aws.ToString(p.Ipv4Prefix))
		}
		return texts
	}
	for _, a := range out.AssignedPrivateIpAddresses {
		texts = append(texts, aws.ToString(a.PrivateIpAddress))
	}
	return texts
}

// Unassign takes blocks of one kind away from a network interface. EC2 does it
// whether or not an address is in use. The caller has its token from Admit.
func (c *Client) Unassign(ctx context.Context, eni string, blocks []netip.Prefix) error {
	in := &ec2.UnassignPrivateIpAddressesInput{NetworkInterfaceId: &eni}
	in.PrivateIpAddresses, in.Ipv4Prefixes = names(blocks)
	_, _, err := call(ctx, c, Unassign, eni, func(ctx context.Context) (*ec2.UnassignPrivateIpAddressesOutput, error) {
		return c.api.UnassignPrivateIpAddresses(ctx, in, once)
	})
	return err
}
