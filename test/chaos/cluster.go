package main

import (
	"context"
	"net/netip"
	"strconv"

	"golang.org/x/sync/errgroup"

	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
)

// Schedulers: ours calls the extender; plain is a kube-scheduler that knows only
// what nodes advertise; byHand stands for whoever writes a node's name on a pod.
const (
	ours   = "default-scheduler"
	plain  = "plain"
	byHand = "by-hand"
)

// namespace is that of the pods.
const namespace = "chaos"

// The subnets. The one of package testenv has room for all.
const (
	// tight has addresses enough, but few prefixes: its nodes take them from each
	// other.
	tight = "subnet-tight"
	// busy is shared with others, who take and give back addresses in it.
	busy = "subnet-busy"
	// full has two prefixes to give, and 59 addresses: more pods want to be on its nodes
	// than can be, in both modes, see crowd.
	full = "subnet-full"
)

var subnets = map[string]netip.Prefix{
	testenv.Subnet: netip.MustParsePrefix("10.0.0.0/20"),
	tight:          netip.MustParsePrefix("10.1.0.0/25"),
	busy:           netip.MustParsePrefix("10.2.0.0/23"),
	full:           netip.MustParsePrefix("10.3.0.0/26"),
}

// mix is what nodes there are, in turn. A group is named after its subnet.
var mix = []struct{ instanceType, subnet string }{
	{"t3.small", tight}, // 3 slots
	{"t3.medium", testenv.Subnet},
	{"c5.large", busy},
	{"t3.xlarge", testenv.Subnet},
	{"t3.large", full}, // 11 slots
	{"t3.medium", busy},
	{"t3.small", tight},
	{"m4.large", testenv.Subnet}, // Xen: no prefixes
	{"t3.medium", busy},
	{"m5.4xlarge", testenv.Subnet}, // 29 slots
}

// build makes subnets and nodes.
func (c *chaos) build(ctx context.Context) error {
	for id, cidr := range subnets {
		if id == testenv.Subnet {
			continue
		}
		if err := c.EC2.AddSubnet(id, testenv.Zone, cidr); err != nil {
			return err
		}
	}
	c.say("adding %d nodes", c.nodes)
	group, adding := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range c.nodes {
		m := mix[i%len(mix)]
		group.Go(func() error {
			_, err := c.AddNode(adding, nodeName(i), m.instanceType, m.subnet, testenv.Group(m.subnet))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i := range c.nodes {
		eni := c.Interface(nodeName(i))
		c.Node(nodeName(i), eni)
		c.Node(twinName(i), eni)
	}
	if err := c.write(ctx, setting{}); err != nil {
		return err
	}
	if err := c.CreateNamespace(ctx, namespace); err != nil {
		return err
	}
	return c.buildPriorities(ctx)
}

// fullNodes are the nodes of the group that is always full.
func (c *chaos) fullNodes() (names []string) {
	for i := range c.nodes {
		if mix[i%len(mix)].subnet == full {
			names = append(names, nodeName(i))
		}
	}
	return names
}

// startPlain starts the scheduler that does not know the extender.
func (c *chaos) startPlain(ctx context.Context) (*controlplane.Process, error) {
	return c.Cluster.StartScheduler(ctx, controlplane.Scheduler{Name: "kube-scheduler-plain", Config: []byte(`
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: ` + plain + `
`)})
}

func nodeName(i int) string { return "node-" + strconv.Itoa(i) }

// twinName is a second Node of the instance of a node.
func twinName(i int) string { return nodeName(i) + "-twin" }
