package allocator

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/subnet"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/allocator/warmpool"
)

// SubnetReport is a subnet with Windows nodes, as it is before a migration to
// prefixes.
type SubnetReport struct {
	cloud.Subnet
	Map      *subnet.Map
	Nodes    int
	Prefixes int // that the nodes have already
	Forecast subnet.Forecast
}

// Survey looks at every subnet that has Windows nodes, and foresees whether
// their prefixes will fit. It changes nothing.
func Survey(ctx context.Context, ec2 *cloud.Client, kube client.Reader, configMap types.NamespacedName) ([]*SubnetReport, error) {
	state, err := ReadSettings(ctx, kube, configMap, settings.Settings{}, func(*corev1.ConfigMap, settings.Problem) {})
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
	group, each := errgroup.WithContext(ctx)
	for i := range nodes.Items {
		n := &nodes.Items[i]
		group.Go(func() (err error) {
			if needs[i], err = needOf(each, ec2, n, pods[n.Name], state.Targets); err != nil {
				return fmt.Errorf("node %s: %w", n.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return finish(ctx, ec2, sum(needs))
}

// need is what one node has and will ask for, in prefixes.
type need struct {
	subnet           string
	have, want, most int
}

func needOf(ctx context.Context, ec2 *cloud.Client, n *corev1.Node, pods int, targets warmpool.Targets) (need, error) {
	id, err := instanceID(n.Spec.ProviderID)
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
	x := need{subnet: i.SubnetID}
	for _, b := range eni.Blocks {
		if ledger.KindOf(b) == ledger.Prefix {
			x.have++
		}
	}
	if limits.Nitro {
		per := ledger.Prefix.Addresses()
		x.most = limits.AddressesPerInterface - 1
		x.want = min(x.most, targets.Prefixes(pods, (pods+per-1)/per))
	}
	return x, nil
}

// sum adds up what the nodes of each subnet need.
func sum(needs []need) map[string]*SubnetReport {
	reports := map[string]*SubnetReport{}
	for _, x := range needs {
		r := reports[x.subnet]
		if r == nil {
			r = &SubnetReport{}
			reports[x.subnet] = r
		}
		r.Nodes++
		r.Prefixes += x.have
		r.Forecast.Now += max(0, x.want-x.have)
		r.Forecast.Most += max(0, x.most-x.have)
	}
	return reports
}

// finish describes the subnets themselves.
func finish(ctx context.Context, ec2 *cloud.Client, reports map[string]*SubnetReport) ([]*SubnetReport, error) {
	var out []*SubnetReport
	for id, r := range reports {
		s, err := ec2.Subnet(ctx, id)
		if err != nil {
			return nil, err
		}
		r.Subnet, r.Map = s, chart(s)
		r.Forecast.Room = r.Map.Room(ledger.Prefix)
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *SubnetReport) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

// podsByNode counts the pods that need an address.
func podsByNode(ctx context.Context, kube client.Reader) (map[string]int, error) {
	var pods corev1.PodList
	if err := kube.List(ctx, &pods); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	count := map[string]int{}
	for i := range pods.Items {
		p := &pods.Items[i]
		if !p.Spec.HostNetwork && !finished(p) {
			count[p.Spec.NodeName]++
		}
	}
	return count, nil
}
