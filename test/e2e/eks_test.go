package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
)

// eksScheduler is the scheduler of the overlay.
const eksScheduler = "slotwise-scheduler"

// TestEKS installs the overlay eks: a second scheduler, which acts as its own
// ServiceAccount, schedules Windows pods that ask for none. Then AWS's managed
// controller is turned on and off again: Slotwise stands aside meanwhile, and goes
// on with what it finds.
func TestEKS(t *testing.T) {
	t.Parallel()
	const slots = 5 // of a t3.medium
	e := start(t, testenv.Options{Overlay: testenv.EKS})
	namespace := e.namespace(t)
	node := e.nodes(t, "eks", 1, "t3.medium", testenv.Subnet)[0]

	check.Must(t, e.CreatePods(t.Context(), namespace, "first", 2))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, 2))
	if got := e.pod(t, namespace, "first-0").Spec.SchedulerName; got != eksScheduler {
		t.Errorf("first-0 was scheduled by %s, want %s", got, eksScheduler)
	}
	e.awaitBlocks(t, node, 0, slots) // two in use, three warm

	e.managedController(t, true)
	check.Must(t, e.AwaitEvent(t.Context(), "ConfigMap", testenv.ConfigMap.Namespace, testenv.ConfigMap.Name, events.ReasonOtherController, "acts as if it were off"))
	if _, asks, err := e.asWindowsPod(t.Context()); err != nil || asks {
		t.Errorf("while AWS's controller is on, a Windows pod asks for an address: %t (%v)", asks, err)
	}
	elsewhere := e.NewNamespace(t) // no other place for pods that are bound without an address
	taken := e.managedControllerWorks(t, elsewhere, node)

	e.managedController(t, false)
	check.Must(t, e.Until(t.Context(), "Slotwise takes over", func(ctx context.Context) error {
		scheduler, asks, err := e.asWindowsPod(ctx)
		if err == nil && (!asks || scheduler != eksScheduler) {
			err = fmt.Errorf("a Windows pod asks for an address: %t; it is scheduled by %s", asks, scheduler)
		}
		return err
	}))
	check.Must(t, e.CreatePods(t.Context(), namespace, "second", slots-2-1))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, slots-1))
	for name, address := range e.addresses(t, namespace) {
		if slices.Contains(taken, address) {
			t.Errorf("%s has %s, which AWS's controller gave away", name, address)
		}
	}
	e.awaitCapacity(t, []string{node}, testenv.Capacity{Advertised: slots - 1}) // the pod of AWS's controller asks for nothing
	e.noEC2Errors(t)
}

// managedController turns AWS's managed controller on or off.
func (e *env) managedController(t *testing.T, on bool) {
	t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: testenv.ConfigMap.Namespace, Name: testenv.ConfigMap.Name}}
	check.Must(t, client.IgnoreAlreadyExists(e.Kube.Create(t.Context(), cm.DeepCopy())))
	patch := fmt.Appendf(nil, `{"data":{%q:"%t"}}`, settings.KeyEnabled, on)
	check.Must(t, e.Kube.Patch(t.Context(), cm, client.RawPatch(types.MergePatchType, patch)))
}

// managedControllerWorks does what AWS's managed controller may do while it is
// on: of two addresses that were free it gives one to a pod, and the other back to
// EC2, where somebody else takes it.
func (e *env) managedControllerWorks(t *testing.T, namespace, node string) []netip.Addr {
	t.Helper()
	eni := e.Interface(node)
	inUse := slices.Collect(maps.Values(e.addresses(t, metav1.NamespaceAll)))
	free := slices.DeleteFunc(eni.Addresses, func(a netip.Addr) bool { return slices.Contains(inUse, a) })
	given, released := free[0], free[1]

	check.Must(t, e.EC2.Unassign(eni.ID, ec2sim.Slots{Addresses: []netip.Addr{released}}))
	check.Must(t, check.ErrorOf(e.EC2.Occupy(testenv.Subnet, netip.PrefixFrom(released, released.BitLen()))))
	check.Must(t, e.CreatePods(t.Context(), namespace, "aws", 1, onNodeByHand(node)))
	config := rest.CopyConfig(e.Admin)
	config.Impersonate = rest.ImpersonationConfig{UserName: "eks:vpc-resource-controller", Groups: []string{"system:masters"}}
	aws, err := kubernetes.NewForConfig(config)
	check.Must(t, err)
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"%s/20"}}}`, vpc.Annotation, given)
	check.Must(t, check.ErrorOf(aws.CoreV1().Pods(namespace).Patch(t.Context(), "aws-0", types.MergePatchType, patch, metav1.PatchOptions{})))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, 1))
	return []netip.Addr{given, released}
}

// asWindowsPod says what becomes of a Windows pod as it is created, all but the
// last step: by whom it is scheduled, and whether it asks for an address.
func (e *env) asWindowsPod(ctx context.Context) (scheduler string, asks bool, err error) {
	p := testenv.Pod(metav1.NamespaceDefault, "trial")
	if err := e.Kube.Create(ctx, p, client.DryRunAll); err != nil {
		return "", false, err
	}
	_, asks = p.Spec.Containers[0].Resources.Requests[vpc.Resource]
	return p.Spec.SchedulerName, asks, nil
}
