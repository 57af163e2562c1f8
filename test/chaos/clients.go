package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/witness"
)

// otherClients unassign what Slotwise has assigned, whoever has it: free addresses, those
// that cool, and those of live pods. Now and then somebody else takes it for a while.
func (c *chaos) otherClients() stream {
	return stream{pause: 5 * time.Second, troubles: []trouble{
		{"addresses unassigned by others", 3, func(_ context.Context, r *rand.Rand) error {
			_, err := c.unassign(r)
			return err
		}},
		{"addresses unassigned by others, who take them", 1, func(ctx context.Context, r *rand.Rand) error {
			gone, err := c.unassign(r)
			if err != nil || len(gone.Addresses)+len(gone.Prefixes) == 0 {
				return err
			}
			// One address is enough: a prefix of which one is taken cannot come back.
			spoiled := slices.Concat(gone.Addresses, firsts(gone.Prefixes))[0]
			giveBack, err := c.EC2.Occupy(subnetOf(spoiled), netip.PrefixFrom(spoiled, 32))
			if err != nil {
				return err
			}
			defer giveBack()
			sleep(ctx, between(r, 20*time.Second, time.Minute))
			return nil
		}},
	}}
}

// unassign takes one prefix or up to three secondary IPs from the interface of a node,
// as anybody may who is allowed to.
func (c *chaos) unassign(r *rand.Rand) (gone ec2sim.Slots, err error) {
	eni := c.Interface(nodeName(r.IntN(c.nodes)))
	prefixes, addresses := eni.Prefixes, eni.Addresses
	if len(prefixes) > 0 && (len(addresses) == 0 || r.IntN(2) == 0) {
		gone.Prefixes = []netip.Prefix{prefixes[r.IntN(len(prefixes))]}
	} else {
		for _, i := range r.Perm(len(addresses))[:min(1+r.IntN(3), len(addresses))] {
			gone.Addresses = append(gone.Addresses, addresses[i])
		}
	}
	if len(gone.Prefixes)+len(gone.Addresses) == 0 {
		return gone, nil
	}
	c.note(witness.Note{Text: fmt.Sprintf("another client unassigns %v%v from %s", gone.Prefixes, gone.Addresses, eni.ID)})
	return gone, c.EC2.Unassign(eni.ID, gone)
}

func firsts(prefixes []netip.Prefix) (all []netip.Addr) {
	for _, p := range prefixes {
		all = append(all, p.Addr())
	}
	return all
}

func subnetOf(a netip.Addr) string {
	for id, cidr := range subnets {
		if cidr.Contains(a) {
			return id
		}
	}
	return ""
}
