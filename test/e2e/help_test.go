package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
)

// cooldown is how long an address rests after its pod has ended.
const cooldown = 30 * time.Second

// subnet adds a subnet for one test, with the range 10.n.0.0/bits.
func (e *env) subnet(t *testing.T, id string, n byte, bits int) netip.Prefix {
	t.Helper()
	cidr := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, n}), bits)
	check.Must(t, e.EC2.AddSubnet(id, testenv.Zone, cidr))
	return cidr
}

// nodes adds nodes name-0, name-1, ... that are a group of that name.
func (e *env) nodes(t *testing.T, name string, n int, instanceType, subnet string) []string {
	t.Helper()
	names, err := e.AddNodes(t.Context(), name, n, instanceType, subnet, testenv.Group(name))
	check.Must(t, err)
	return names
}

// pod reads a pod, which must be there.
func (e *env) pod(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{}
	check.Must(t, e.Kube.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, p))
	return p
}

// address is that of a pod which must have one.
func address(t *testing.T, p *corev1.Pod) netip.Addr {
	t.Helper()
	a, err := vpc.ParseAddress(p.Annotations[vpc.Annotation])
	if err != nil {
		t.Fatalf("pod %s on node %q: %v", p.Name, p.Spec.NodeName, err)
	}
	return a.Addr()
}

// addresses are those of all pods of a namespace that have one, by name.
func (e *env) addresses(t *testing.T, namespace string) map[string]netip.Addr {
	t.Helper()
	var pods corev1.PodList
	check.Must(t, e.Kube.List(t.Context(), &pods, client.InNamespace(namespace)))
	all := map[string]netip.Addr{}
	for _, p := range pods.Items {
		text, has := p.Annotations[vpc.Annotation]
		if !has {
			continue
		}
		address, err := vpc.ParseAddress(text)
		check.Must(t, err)
		all[p.Name] = address.Addr()
	}
	return all
}

// awaitCapacity waits until each of the nodes shows the same capacity.
func (e *env) awaitCapacity(t *testing.T, nodes []string, want testenv.Capacity) {
	t.Helper()
	for _, name := range nodes {
		check.Must(t, e.Until(t.Context(), fmt.Sprintf("%s shows %+v", name, want), func(ctx context.Context) error {
			got, err := e.Capacity(ctx, name)
			if err == nil && got != want {
				err = fmt.Errorf("it shows %+v", got)
			}
			return err
		}))
	}
}

// awaitBlocks waits until a node's interface has these numbers of prefixes and
// of secondary IPs.
func (e *env) awaitBlocks(t *testing.T, node string, prefixes, secondaryIPs int) {
	t.Helper()
	what := fmt.Sprintf("%s has %d prefixes and %d secondary IPs", node, prefixes, secondaryIPs)
	check.Must(t, e.Until(t.Context(), what, func(context.Context) error {
		eni := e.Interface(node)
		if len(eni.Prefixes) != prefixes || len(eni.Addresses) != secondaryIPs {
			return fmt.Errorf("it has %d and %d", len(eni.Prefixes), len(eni.Addresses))
		}
		return nil
	}))
}

// noEC2Errors fails the test if EC2 has refused anything: no call is made that
// must fail (I3).
func (e *env) noEC2Errors(t *testing.T) {
	t.Helper()
	if errs := e.EC2.Errors(); len(errs) > 0 {
		t.Errorf("I3: EC2 answered %v, want no errors", errs)
	}
}
