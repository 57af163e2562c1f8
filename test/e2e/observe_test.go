package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/vpc"
	"slotwise.dev/slotwise/test/awsallocator"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
)

// TestObserve switches a cluster to prefix delegation and back in which AWS's own
// controller gives the addresses. Pods of a scheduler that trusts in what nodes
// advertise are bound and get no address as long as old pods have the slots. Pods of
// the one that asks Slotwise, in mode observe, are bound where they get one: all
// that fit run, the others wait, and run once there is room.
func TestObserve(t *testing.T) {
	t.Parallel()
	const (
		slots = 5 // of a t3.medium
		old   = 3 // pods on each node before the switch
		truth = (slots - old) * 16
		asked = slots * 16 // on each node, which is what AWS's formula makes of it
	)
	e := start(t, testenv.Options{Overlay: testenv.Observe, Args: []string{"--observe-interval=5s"}})
	e.startAWS(t)
	plain, seen := e.NewNamespace(t), e.NewNamespace(t)
	blind := e.nodes(t, "blind", 1, "t3.medium", testenv.Subnet)[0]
	watched := e.nodes(t, "watched", 2, "t3.medium", testenv.Subnet)
	spare := e.nodes(t, "spare", 1, "t3.medium", testenv.Subnet)[0]
	check.Must(t, e.CreatePods(t.Context(), plain, "old", old, testenv.OnNode(blind), testenv.Scheduler(plainScheduler)))
	for _, name := range watched {
		check.Must(t, e.CreatePods(t.Context(), seen, "old-"+name, old, testenv.OnNode(name)))
	}
	check.Must(t, e.AwaitRunning(t.Context(), plain, old))
	check.Must(t, e.AwaitRunning(t.Context(), seen, len(watched)*old))
	e.awaitCapacity(t, watched, testenv.Capacity{Advertised: slots, Remaining: slots - old})

	check.Must(t, e.PrefixMode(t.Context(), true))
	e.awaitCapacity(t, []string{blind}, testenv.Capacity{Advertised: asked, Remaining: truth})
	time.Sleep(time.Second) // its kubelet sees AWS's figure a little later, and rejects what it is too small for
	check.Must(t, e.CreatePods(t.Context(), plain, "new", asked, testenv.OnNode(blind), testenv.Scheduler(plainScheduler)))
	check.Must(t, e.CreatePods(t.Context(), seen, "new", len(watched)*asked, testenv.OnGroup("watched")))

	// Without Slotwise.
	e.awaitBare(t, plain, asked-old-truth)
	// With Slotwise.
	check.Must(t, e.AwaitRunning(t.Context(), seen, len(watched)*(old+truth)))
	if _, err := e.AwaitTurnedAway(t.Context(), seen, len(watched)*(asked-truth)); err != nil {
		t.Fatal(err)
	}
	e.awaitCapacity(t, watched, testenv.Capacity{Advertised: asked})

	for _, name := range watched {
		check.Must(t, e.DeletePods(t.Context(), seen, "old-"+name, old))
	}
	e.testForeignAddress(t, spare, slots)
	check.Must(t, e.AwaitRunning(t.Context(), seen, len(watched)*asked))
	e.awaitBare(t, plain, asked-old-truth) // for good

	e.testSwitchBack(t, spare, slots)
	e.testMayNotAdvertise(t, spare)
	e.changedNothing(t, watched)
}

// startAWS starts AWS's controller, and a scheduler that trusts in it.
func (e *env) startAWS(t *testing.T) {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- awsallocator.Run(ctx, e.Client, e.EC2) }()
	t.Cleanup(func() {
		end()
		check.Must(t, <-ended)
	})
	check.Must(t, e.startPlain(t.Context()))
}

// awaitBare waits until n pods of a namespace are bound without an address.
func (e *env) awaitBare(t *testing.T, namespace string, n int) {
	t.Helper()
	check.Must(t, e.Until(t.Context(), fmt.Sprintf("%d pods in %s are bound without an address", n, namespace), func(ctx context.Context) error {
		tally, err := e.Tally(ctx, namespace)
		if err == nil && tally.Bare != n {
			err = fmt.Errorf("%d are, of %d that are bound", tally.Bare, tally.Bound)
		}
		return err
	}))
}

// testForeignAddress: what another client does to an interface is counted within one
// refresh.
func (e *env) testForeignAddress(t *testing.T, node string, slots int) {
	t.Helper()
	want := func(slots int) []testenv.Capacity {
		return []testenv.Capacity{{Advertised: 16 * 5, Remaining: 16 * slots}}
	}
	e.awaitCapacity(t, []string{node}, want(slots)[0])
	foreign, err := e.EC2.Assign(e.Interface(node).ID, ec2sim.Request{AddressCount: 1})
	check.Must(t, err)
	assigned := time.Now()
	e.awaitCapacity(t, []string{node}, want(slots - 1)[0])
	looks := 0
	for _, c := range e.EC2.Calls() {
		if c.Action == "DescribeNetworkInterfaces" && c.Start.After(assigned) {
			looks++
		}
	}
	if looks > 2 { // the second may have begun before the first was waited for
		t.Errorf("the foreign address was counted after %d refreshes, want one", looks)
	}
	check.Must(t, e.EC2.Unassign(e.Interface(node).ID, foreign))
	e.awaitCapacity(t, []string{node}, want(slots)[0])
}

// testSwitchBack: back in secondary IP mode a node with more pods than it has slots
// is full by AWS's formula, though it has empty slots. The kubelet admits no pod
// beyond what the node advertises, so none is bound until the old ones have gone.
func (e *env) testSwitchBack(t *testing.T, node string, slots int) {
	t.Helper()
	const pods, prefixes = 17, 2
	namespace := e.NewNamespace(t)
	check.Must(t, e.CreatePods(t.Context(), namespace, "old", pods, testenv.OnNode(node)))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, pods))
	check.Must(t, e.PrefixMode(t.Context(), false))
	e.awaitCapacity(t, []string{node}, testenv.Capacity{Advertised: slots, Remaining: slots - prefixes})
	check.Must(t, e.CreatePods(t.Context(), namespace, "new", slots, testenv.OnNode(node)))
	check.Must(t, check.ErrorOf(e.AwaitTurnedAway(t.Context(), namespace, slots)))
	check.Must(t, e.DeletePods(t.Context(), namespace, "old", pods))
	check.Must(t, e.AwaitRunning(t.Context(), namespace, slots))
	e.awaitCapacity(t, []string{node}, testenv.Capacity{Advertised: slots})
}

// testMayNotAdvertise: what a Node shows is the other allocator's to say.
func (e *env) testMayNotAdvertise(t *testing.T, node string) {
	t.Helper()
	text := fmt.Appendf(nil, `{"status":{"capacity":{%q:"99"}}}`, vpc.Resource)
	_, err := e.asSlotwise(t).CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, text, metav1.PatchOptions{}, "status")
	wantRefusal(t, err, "Slotwise may change nothing of a Node's status but")
}

// nodeSlots is what Slotwise shows of a node.
func (e *env) nodeSlots(t *testing.T, node string) v1alpha1.NodeSlotsStatus {
	t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("NodeSlots"))
	check.Must(t, e.Kube.Get(t.Context(), client.ObjectKey{Name: node}, object))
	var slots v1alpha1.NodeSlots
	check.Must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &slots))
	return slots.Status
}

// changedNothing: Slotwise has asked EC2 for no change, and promises in NodeSlots,
// whose figures are right, no address to be free.
func (e *env) changedNothing(t *testing.T, nodes []string) {
	t.Helper()
	for action, n := range e.EC2.Counts() {
		t.Logf("%d %s", n, action)
		if action == "AssignPrivateIpAddresses" || action == "UnassignPrivateIpAddresses" {
			t.Errorf("%d calls of %s, want none", n, action)
		}
	}
	e.noEC2Errors(t)
	for _, name := range nodes {
		eni := e.Interface(name)
		if got := e.nodeSlots(t, name); int(got.Prefixes) != len(eni.Prefixes) || int(got.SecondaryIPs) != len(eni.Addresses) || len(got.KnownFree) > 0 {
			t.Errorf("NodeSlots of %s shows %+v; EC2 has %d prefixes and %d secondary IPs", name, got, len(eni.Prefixes), len(eni.Addresses))
		}
	}
	var pods corev1.PodList
	check.Must(t, e.Kube.List(t.Context(), &pods))
	for _, p := range pods.Items {
		if _, has := p.Annotations[vpc.Annotation]; has && p.Spec.NodeName == "" {
			t.Errorf("%s/%s has an address and is not bound", p.Namespace, p.Name)
		}
	}
}
