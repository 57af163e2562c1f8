package cloud

import (
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Holder is a network interface in a subnet, and what tells a person whose it is.
type Holder struct {
	Interface   string
	Instance    string // empty: it is attached to none
	Description string // as its maker wrote it: "RDSNetworkInterface", "ELB app/shop/50dc6c495c0c9188"
	Kind        string // InterfaceType: interface, lambda, nat_gateway, vpc_endpoint
	Requester   string // who asked for it on the owner's behalf, as amazon-elb; empty: the owner
	Blocks      []netip.Prefix
}

// holder reads whose an interface is. Its primary address, where it has one, comes first.
func holder(i types.NetworkInterface, primary netip.Addr, blocks []netip.Prefix) Holder {
	h := Holder{
		Interface:   aws.ToString(i.NetworkInterfaceId),
		Description: aws.ToString(i.Description),
		Kind:        string(i.InterfaceType),
		Requester:   aws.ToString(i.RequesterId),
	}
	if i.Attachment != nil {
		h.Instance = aws.ToString(i.Attachment.InstanceId)
	}
	if primary.IsValid() {
		h.Blocks = append(h.Blocks, netip.PrefixFrom(primary, primary.BitLen()))
	}
	h.Blocks = append(h.Blocks, blocks...)
	return h
}

// String names the holder for a person: what its maker wrote, else what it is part of.
func (h Holder) String() string {
	switch {
	case h.Description != "":
		return h.Description + " (" + h.Interface + ")"
	case h.Instance != "":
		return h.Instance + " (" + h.Interface + ")"
	case h.Requester != "":
		return h.Requester + " (" + h.Interface + ")"
	}
	return h.Interface
}
