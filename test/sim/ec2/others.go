package ec2

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"

	"slotwise.dev/slotwise/test/ec2sim"
)

// Others are other clients of EC2, who take and give addresses by chance. They are safe
// for concurrent use.
type Others struct {
	server *ec2sim.Server

	mu     sync.Mutex
	random *rand.Rand
}

// NewOthers makes them; seed is of all that they draw.
func NewOthers(server *ec2sim.Server, seed uint64) *Others {
	return &Others{server: server, random: rand.New(rand.NewPCG(seed, 0))}
}

// Take unassigns a prefix or up to three secondary IPs from an interface, whoever uses
// them, and returns what it took: nothing where the interface has nothing.
func (o *Others) Take(eni string) (ec2sim.Slots, error) {
	i, exists := o.server.Interface(eni)
	if !exists || len(i.Addresses)+len(i.Prefixes) == 0 {
		return ec2sim.Slots{}, nil
	}
	gone := o.choose(i.Slots)
	return gone, o.server.Unassign(eni, gone)
}

// choose draws what is taken.
func (o *Others) choose(held ec2sim.Slots) (gone ec2sim.Slots) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(held.Prefixes); n > 0 && (len(held.Addresses) == 0 || o.random.IntN(2) == 0) {
		gone.Prefixes = []netip.Prefix{held.Prefixes[o.random.IntN(n)]}
		return gone
	}
	n := len(held.Addresses)
	for _, i := range o.random.Perm(n)[:min(1+o.random.IntN(3), n)] {
		gone.Addresses = append(gone.Addresses, held.Addresses[i])
	}
	return gone
}

// Give assigns one block to an interface: an address, or else a prefix. It returns what it
// gave: nothing where EC2 refuses.
func (o *Others) Give(eni string, prefix bool) (ec2sim.Slots, error) {
	r := ec2sim.Request{AddressCount: 1}
	if prefix {
		r = ec2sim.Request{PrefixCount: 1}
	}
	given, err := o.server.Assign(eni, r)
	if _, refused := errors.AsType[*ec2sim.Error](err); refused {
		return ec2sim.Slots{}, nil
	}
	return given, err
}

// Occupy takes up to n free addresses of a subnet for interfaces of others until
// giveBack. unseen ones are of another account: no describe shows them.
func (o *Others) Occupy(subnet string, n int, unseen bool) (giveBack func(), err error) {
	free := o.server.FreeAddresses(subnet)
	o.mu.Lock()
	o.random.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
	o.mu.Unlock()
	ranges := make([]netip.Prefix, min(n, len(free)))
	for i := range ranges {
		ranges[i] = netip.PrefixFrom(free[i], free[i].BitLen())
	}
	if unseen {
		return o.server.OccupyUnseen(subnet, ranges...)
	}
	return o.server.Occupy(subnet, ranges...)
}
