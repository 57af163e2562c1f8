package checkup

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/settings"
)

// oldest is the oldest Kubernetes that Slotwise is tried with.
var oldest = version.MajorMinor(1, 30)

// ofCluster are the checks that need no Slotwise.
var ofCluster = []check{
	{"Kubernetes version", kubernetesVersion},
	{"ConfigMap", configMap},
	{"other allocators", otherAllocators},
	{"Windows nodes", windowsNodes},
	{"max-pods", maxPods},
	{"subnets", subnets},
	{"pods without address", waiting},
	{"disruption budgets", budgets},
}

func kubernetesVersion(_ context.Context, in Inputs) (Finding, error) {
	v, err := version.ParseGeneric(in.Version)
	if err != nil {
		return Finding{}, err
	}
	if v.LessThan(oldest) {
		return bad("upgrade Kubernetes", "%s; Slotwise needs %s or later", in.Version, oldest)
	}
	return good("%s", in.Version)
}

func configMap(ctx context.Context, in Inputs) (Finding, error) {
	var problems []string
	s, err := config.ReadSettings(ctx, in.Kube, in.ConfigMap, settings.Settings{}, func(_ *corev1.ConfigMap, p settings.Problem) {
		problems = append(problems, p.String())
	})
	switch {
	case err != nil:
		return Finding{}, err
	case len(problems) > 0:
		return bad("mend the values: kubectl -n "+in.ConfigMap.Namespace+" edit configmap "+in.ConfigMap.Name, "%s", strings.Join(problems, "; "))
	case !s.Enabled:
		return bad("set enable-windows-ipam to \"true\" there, or in the chart or add-on that owns it", "%s has Windows IPAM off: nobody gives pods addresses by it", in.ConfigMap)
	}
	return good("%s: %s mode", in.ConfigMap, s.Mode)
}

// otherAllocators: before Slotwise is installed AWS's own is no surprise, but it has to
// go, or Slotwise has to run in mode observe.
func otherAllocators(ctx context.Context, in Inputs) (Finding, error) {
	r := config.Reader{ConfigMap: in.ConfigMap}
	state, err := r.Read(ctx, in.Kube, config.Ignore)
	if err != nil {
		return Finding{}, err
	}
	if state.Other != nil {
		return bad("turn one of them off, or run Slotwise in mode observe", "%s", state.Other)
	}
	return good("none")
}

func windowsNodes(_ context.Context, in Inputs) (Finding, error) {
	t := in.Cluster.Totals
	if t.Odd == 0 && t.Nodes == 0 {
		return bad("label them kubernetes.io/os=windows; kubelets do by themselves", "there are none")
	}
	for _, n := range in.Cluster.Nodes {
		if n.Why != "" {
			return bad("see slotwise nodes", "%d of %d could not be looked at; %s: %s", t.Odd, t.Nodes+t.Odd, n.Name, n.Why)
		}
	}
	return good("%d, all with an EC2 instance", t.Nodes)
}

// maxPods: what a kubelet does not take, its slots give in vain.
func maxPods(_ context.Context, in Inputs) (Finding, error) {
	wasting, wasted, example := 0, 0, ""
	for _, n := range in.Cluster.Nodes {
		if n.Why == "" && n.MaxPods > 0 && n.There > n.MaxPods {
			wasting, wasted, example = wasting+1, wasted+n.There-n.MaxPods, n.Name
		}
	}
	if wasting > 0 {
		return note("start kubelets with a larger --max-pods, or take smaller instances", "%d nodes (%s is one) have room for %d pods more than their kubelets take", wasting, example, wasted)
	}
	return good("kubelets take what the slots can hold")
}

func subnets(_ context.Context, in Inputs) (Finding, error) {
	short := map[string]int{}
	for _, n := range in.Cluster.Nodes {
		if n.Short > 0 {
			short[n.Subnet]++
		}
	}
	for _, s := range in.Cluster.Subnets {
		if s.Why != "" {
			return bad("see the message", "%s: %s", s.ID, s.Why)
		}
		if short[s.ID] > 0 {
			return bad("free whole /28 blocks, reserve a CIDR block of type prefix, or add nodes in another subnet: see slotwise subnets", "%s has too little room for %d of its nodes: %d prefixes", s.ID, short[s.ID], s.FreePrefixes)
		}
	}
	return good("%d, with room for all slots", len(in.Cluster.Subnets))
}

func waiting(_ context.Context, in Inputs) (Finding, error) {
	if n := in.Cluster.Totals.Waiting; n > 0 {
		return bad("see them: kubectl get pods -A --field-selector=status.phase=Pending; delete those that hang, and their controllers make others", "%d pods are bound and have none", n)
	}
	return good("none")
}

// budgets that allow nothing keep nodes from being drained, as a change of max-pods or of
// nodes asks for.
func budgets(ctx context.Context, in Inputs) (Finding, error) {
	var list policyv1.PodDisruptionBudgetList
	if err := in.Kube.List(ctx, &list, client.Limit(mostBudgets)); err != nil {
		return Finding{}, fmt.Errorf("list disruption budgets: %w", err)
	}
	var strict []string
	for i := range list.Items {
		if b := &list.Items[i]; b.Status.DisruptionsAllowed == 0 && b.Status.ExpectedPods > 0 {
			strict = append(strict, b.Namespace+"/"+b.Name)
		}
	}
	if len(strict) > 0 {
		return note("run more replicas, or allow one pod to be unavailable, before you drain nodes", "%d allow no eviction now: %s", len(strict), strings.Join(strict[:min(3, len(strict))], ", "))
	}
	return good("all allow evictions")
}

// mostBudgets is how many budgets are looked at.
const mostBudgets = 1000
