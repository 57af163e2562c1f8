// Package preflight looks at the Windows nodes of a cluster and at their subnets before a
// migration, for people. It changes nothing, and works beside AWS's controller.
package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/subnet"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/allocator/warmpool"
)

// Report is what a look at all Windows nodes and their subnets has shown.
type Report struct {
	Subnets []*Subnet
	Odd     []Oddity
}

// Oddity is a Windows node, or a subnet, that could not be looked at. The others are
// shown all the same.
type Oddity struct {
	Name string
	Why  error
}

// Subnet is one with Windows nodes, as it is before a migration to prefixes.
type Subnet struct {
	cloud.Subnet
	Map      *subnet.Map
	Hidden   int // addresses in use that EC2 does not show, as those of others who share the subnet
	Nodes    int
	Prefixes int // that the nodes have already
	Forecast subnet.Forecast
	Spoiled  []Spoiled

	nodes map[string]bool // the interfaces of its Windows nodes
}

// Look looks at every subnet that has Windows nodes, and forecasts whether their prefixes
// will fit; and at the subnets whose ids are given, which need have no nodes. What cannot
// be looked at in EC2 is in the report; an error is one of the API server, or that of ctx.
func Look(ctx context.Context, ec2 *cloud.Client, kube client.Reader, configMap types.NamespacedName, ids ...string) (*Report, error) {
	set, err := config.ReadSettings(ctx, kube, configMap, settings.Settings{}, config.Ignore)
	if err != nil {
		return nil, err
	}
	pods, err := podsByNode(ctx, kube)
	if err != nil {
		return nil, err
	}
	var nodes corev1.NodeList
	if err := kube.List(ctx, &nodes, client.MatchingLabels{vpc.LabelOS: vpc.Windows}); err != nil {
		return nil, fmt.Errorf("list Windows nodes: %w", err)
	}
	needs := make([]need, len(nodes.Items))
	errs := make([]error, len(nodes.Items))
	var group sync.WaitGroup
	for i := range nodes.Items {
		n := &nodes.Items[i]
		group.Go(func() { needs[i], errs[i] = needOf(ctx, ec2, n, pods[n.Name], set.Targets) })
	}
	group.Wait()
	report := &Report{}
	for i, err := range errs {
		if err != nil {
			report.Odd = append(report.Odd, Oddity{"node " + nodes.Items[i].Name, err})
		}
	}
	subnets := sum(needs)
	for _, id := range ids {
		if subnets[id] == nil {
			subnets[id] = &Subnet{}
		}
	}
	report.describe(ctx, ec2, subnets)
	return report, ctx.Err()
}

// podCount is how many pods a node has.
type podCount struct {
	addressed int // that need an address
	onHost    int // on the host's network
}

// need is what one node has and will ask for, in prefixes. The zero value is that of a
// node that could not be looked at.
type need struct {
	subnet string
	eni    string
	have   int
	want   int // for the pods that run and the warm pool
	most   int // if all its slots are filled, as far as its kubelet takes the pods
}

func needOf(ctx context.Context, ec2 *cloud.Client, n *corev1.Node, pods podCount, targets warmpool.Targets) (need, error) {
	id, err := vpc.InstanceID(n.Spec.ProviderID)
	if err != nil {
		return need{}, err
	}
	i, err := ec2.Instance(ctx, id)
	if err != nil {
		return need{}, err
	}
	limits, err := ec2.Limits(ctx, i.Type)
	if err != nil {
		return need{}, err
	}
	eni, err := ec2.Interface(ctx, i.PrimaryENI)
	if err != nil {
		return need{}, err
	}
	x := need{subnet: i.SubnetID, eni: i.PrimaryENI}
	for _, b := range eni.Blocks {
		if ledger.KindOf(b) == ledger.Prefix {
			x.have++
		}
	}
	if limits.Nitro {
		x.most = limits.AddressesPerInterface - 1
		if limit := n.Status.Allocatable[corev1.ResourcePods]; limit.Value() > 0 {
			x.most = min(x.most, ledger.Prefix.BlocksFor(max(0, int(limit.Value())-pods.onHost)))
		}
		x.want = min(x.most, targets.Prefixes(pods.addressed, ledger.Prefix.BlocksFor(pods.addressed)))
	}
	return x, nil
}

// sum adds up what the nodes of each subnet need.
func sum(needs []need) map[string]*Subnet {
	subnets := map[string]*Subnet{}
	for _, x := range needs {
		if x.subnet == "" {
			continue
		}
		s := subnets[x.subnet]
		if s == nil {
			s = &Subnet{nodes: map[string]bool{}}
			subnets[x.subnet] = s
		}
		s.nodes[x.eni] = true
		s.Nodes++
		s.Prefixes += x.have
		s.Forecast.Now += max(0, x.want-x.have)
		s.Forecast.Most += max(0, x.most-x.have)
	}
	return subnets
}

// describe looks at the subnets themselves, and reports them.
func (r *Report) describe(ctx context.Context, ec2 *cloud.Client, subnets map[string]*Subnet) {
	for id, s := range subnets {
		shown, err := ec2.Subnet(ctx, id)
		if err != nil {
			r.Odd = append(r.Odd, Oddity{"subnet " + id, err})
			continue
		}
		s.Subnet, s.Map = shown, shown.Map()
		s.Hidden = s.Map.Hide(shown.Available)
		s.Forecast.Room = s.Map.Room(ledger.Prefix)
		s.Spoiled = spoiled(shown, s.nodes)
		r.Subnets = append(r.Subnets, s)
	}
	slices.SortFunc(r.Subnets, func(a, b *Subnet) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(r.Odd, func(a, b Oddity) int { return strings.Compare(a.Name, b.Name) })
}

// podsByNode counts the pods of nodes that have not ended.
func podsByNode(ctx context.Context, kube client.Reader) (map[string]podCount, error) {
	var pods corev1.PodList
	if err := kube.List(ctx, &pods); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	count := map[string]podCount{}
	for i := range pods.Items {
		p := &pods.Items[i]
		c := count[p.Spec.NodeName]
		switch {
		case p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed:
			continue
		case p.Spec.HostNetwork:
			c.onHost++
		default:
			c.addressed++
		}
		count[p.Spec.NodeName] = c
	}
	return count, nil
}
