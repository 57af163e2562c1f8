package e2e

import (
	"strings"
	"testing"
	"time"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
)

// TestPodsLeaveARefusedNode has EC2 refuse every assign for one of two nodes, each time with
// another code. Pods that fit on the other run there within seconds, the first
// advertises what it has, and once the cause is gone it takes the pod that waits for it.
func TestPodsLeaveARefusedNode(t *testing.T) {
	t.Parallel()
	const (
		free     = 16 // of the node's warm prefix
		pods     = 60
		patience = time.Minute // until all run; on a machine that does nothing else it takes 2 s
		recovery = 70 * time.Second
	)
	e := shared(t)
	for code, event := range map[string]string{
		"UnauthorizedOperation":         events.ReasonRefused,
		"PrivateIpAddressLimitExceeded": "", // nobody can fix it
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			namespace := e.namespace(t)
			bad, good := "bad-"+strings.ToLower(code), "good-"+strings.ToLower(code)
			check.Must(t, check.ErrorOf(e.AddNode(t.Context(), bad, "t3.medium", testenv.Subnet, testenv.Group(code))))
			check.Must(t, check.ErrorOf(e.AddNode(t.Context(), good, "t3.medium", testenv.Subnet, testenv.Group(code))))
			e.awaitCapacity(t, []string{bad, good}, testenv.Capacity{Advertised: 5 * 16, Remaining: 5 * 16})
			e.awaitBlocks(t, bad, 1, 0) // the warm one
			fix := e.EC2.Inject(ec2sim.Fault{Kind: ec2sim.Refuse, Action: "AssignPrivateIpAddresses", ENI: e.Interface(bad).ID, Code: code})

			began := time.Now()
			check.Must(t, e.CreatePods(t.Context(), namespace, "pod", pods, testenv.OnGroup(code)))
			check.Must(t, e.AwaitRunning(t.Context(), namespace, pods))
			if took := time.Since(began); took > patience {
				t.Errorf("%d pods, for which there is room, ran after %s, want %s at the most", pods, took.Round(time.Second), patience)
			}
			tally, err := e.Tally(t.Context(), namespace)
			check.Must(t, err)
			rest := free - tally.ByNode[bad]
			check.Must(t, e.CreatePods(t.Context(), namespace, "rest", rest, testenv.OnNode(bad)))
			check.Must(t, e.AwaitRunning(t.Context(), namespace, pods+rest))
			check.Must(t, e.CreatePods(t.Context(), namespace, "waits", 1, testenv.OnNode(bad)))
			e.awaitCapacity(t, []string{bad}, testenv.Capacity{Advertised: free})
			if event != "" {
				check.Must(t, e.AwaitEvent(t.Context(), "Node", "", bad, event, code))
			}

			fix()
			fixed := time.Now()
			check.Must(t, e.AwaitRunning(t.Context(), namespace, pods+rest+1))
			if took := time.Since(fixed); took > recovery {
				t.Errorf("the pod that waits for the node ran %s after the cause was gone, want %s at the most", took.Round(time.Second), recovery)
			}
			e.awaitCapacity(t, []string{bad}, testenv.Capacity{Advertised: 5 * 16, Remaining: 4*16 - 1})
		})
	}
}
