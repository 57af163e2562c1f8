package survey

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
)

// page is how many pods are asked for at once: the API server encodes no list of a whole
// large cluster.
const page = 1000

// Read reads a cluster once: nodes, pods, the ConfigMap and, where there are some,
// NodeSlots from the API server, and then EC2. What EC2 does not tell of one node is that
// node's Why. It is an error where the API server does not answer, or EC2 tells nothing
// at all.
func Read(ctx context.Context, kube client.Reader, ec2 *EC2, configMap types.NamespacedName) (*Cluster, error) {
	o, err := read(ctx, kube, configMap)
	if err != nil {
		return nil, err
	}
	shown := ec2.Look(ctx, instances(o.Nodes))
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := shown.Failure(); err != nil {
		return nil, fmt.Errorf("EC2 tells of none of the nodes: %w; these are your own AWS credentials: see whose with aws sts get-caller-identity, and name the region of the nodes with --aws-region", err)
	}
	return Take(o, shown, time.Now()), nil
}

func read(ctx context.Context, kube client.Reader, configMap types.NamespacedName) (o Objects, err error) {
	if o.Settings, err = config.ReadSettings(ctx, kube, configMap, settings.Settings{}, config.Ignore); err != nil {
		return o, explain(err, "get configmaps -n "+configMap.Namespace)
	}
	var nodes corev1.NodeList
	if err := kube.List(ctx, &nodes, client.MatchingLabels{vpc.LabelOS: vpc.Windows}); err != nil {
		return o, explain(fmt.Errorf("list Windows nodes: %w", err), "list nodes")
	}
	for i := range nodes.Items {
		o.Nodes = append(o.Nodes, &nodes.Items[i])
	}
	if o.Pods, err = readPods(ctx, kube, o.Nodes); err != nil {
		return o, explain(fmt.Errorf("list pods: %w", err), "list pods --all-namespaces")
	}
	o.Cooling = ReadCooling(ctx, kube)
	return o, nil
}

// readPods reads the live pods of the given nodes.
func readPods(ctx context.Context, kube client.Reader, nodes []*corev1.Node) (map[string][]Pod, error) {
	windows := map[string]bool{}
	for _, n := range nodes {
		windows[n.Name] = true
	}
	byNode := map[string][]Pod{}
	var list corev1.PodList
	for {
		if err := kube.List(ctx, &list, client.Limit(page), client.Continue(list.Continue)); err != nil {
			return nil, err
		}
		for i := range list.Items {
			p := &list.Items[i]
			if windows[p.Spec.NodeName] && !pods.Finished(p) {
				kept := pods.New(p, vpc.Resource)
				byNode[kept.Node] = append(byNode[kept.Node], Pod{Pod: kept, Seen: kept.Created})
			}
		}
		if list.Continue == "" {
			return byNode, nil
		}
	}
}

// ReadCooling reads from NodeSlots how many addresses cool, by node. Where there are none,
// as Slotwise is not installed, or they may not be read, it is empty.
func ReadCooling(ctx context.Context, kube client.Reader) map[string]int {
	var list v1alpha1.NodeSlotsList
	if err := kube.List(ctx, &list); err != nil {
		return nil
	}
	cooling := map[string]int{}
	for i := range list.Items {
		cooling[list.Items[i].Name] = int(list.Items[i].Status.Cooling)
	}
	return cooling
}

// instances are those that nodes say to be.
func instances(nodes []*corev1.Node) []string {
	var ids []string
	for _, n := range nodes {
		if id, err := vpc.InstanceID(n.Spec.ProviderID); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// explain adds to an error of the API server what can be done about it.
func explain(err error, verb string) error {
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w: try `kubectl auth can-i %s`, and ask for a role that allows it", err, verb)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%w: log in again, or name another context with --context", err)
	default:
		return fmt.Errorf("%w: check that the cluster of this context answers (kubectl get nodes), or name another with --context or --kubeconfig", err)
	}
}
