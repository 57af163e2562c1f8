package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/testenv"
)

// TestI2I4I7KilledInABurst kills the leader in the middle of a burst of 500 pods. The
// standby goes on as soon as the lease has run out, and in the end every pod runs.
// That no pod was bound without its address, none has another's, and none has one too
// soon is seen by the observer, at the end.
func TestI2I4I7KilledInABurst(t *testing.T) {
	t.Parallel()
	const pods = 500
	s := start(t, testenv.Options{Settings: prefixMode, Replicas: 2})
	namespace := s.namespace(t)
	s.nodes(t, "burst", 10, "m5.xlarge", testenv.Subnet)

	created := make(chan error, 1)
	go func() { created <- s.createPatiently(t.Context(), namespace, pods) }()
	check.Must(t, s.Until(t.Context(), "a third of the burst is bound", func(context.Context) error {
		if bound, _ := s.seenBound(namespace); bound < pods/3 {
			return fmt.Errorf("%d pods are bound", bound)
		}
		return nil
	}))
	leader, err := s.Leader(t.Context())
	check.Must(t, err)
	check.Must(t, leader.Kill())
	killed := time.Now()
	check.Must(t, <-created)
	check.Must(t, s.AwaitRunning(t.Context(), namespace, pods))

	before, pause := s.longestPause(namespace, killed)
	t.Logf("the leader was killed when %d of %d pods were bound; for %s no pod was bound; all ran after %s",
		before, pods, pause.Round(100*time.Millisecond), time.Since(killed).Round(100*time.Millisecond))
	if before == pods {
		t.Error("the burst was over before the leader was killed")
	}
	s.noEC2Errors(t)
}

// TestHandOverWhileEC2IsSlow ends the leader in order while a pod waits for a call to
// EC2 that takes long. The standby need not wait for that call, nor for the lease to
// run out; what the call brings in the end is found.
func TestHandOverWhileEC2IsSlow(t *testing.T) {
	t.Parallel()
	const pods = 16 + 1 // one more than the warm prefix has
	s := start(t, testenv.Options{Settings: prefixMode, Replicas: 2})
	namespace := s.namespace(t)
	node := s.nodes(t, "slow", 1, "t3.small", testenv.Subnet)[0]
	s.awaitBlocks(t, node, 1, 0)
	s.EC2.Inject(ec2sim.Fault{Kind: ec2sim.DelayBefore, Action: "AssignPrivateIpAddresses", Times: 1, Delay: 20 * time.Second})
	check.Must(t, s.CreatePods(t.Context(), namespace, "pod", pods))
	check.Must(t, s.AwaitRunning(t.Context(), namespace, pods-1))

	leader, err := s.Leader(t.Context())
	check.Must(t, err)
	asked := time.Now()
	check.Must(t, leader.Stop())
	check.Must(t, s.Until(t.Context(), "the standby leads", func(ctx context.Context) error { return check.ErrorOf(s.Leader(ctx)) }))
	took := time.Since(asked)
	t.Logf("the standby led after %s", took.Round(100*time.Millisecond))
	if took > 12*time.Second {
		t.Errorf("the standby led after %s, as if the leader had crashed or waited for EC2", took)
	}
	check.Must(t, s.AwaitRunning(t.Context(), namespace, pods))
	s.awaitCapacity(t, []string{node}, testenv.Capacity{Advertised: 3 * 16, Remaining: 3*16 - pods})
}

// createPatiently creates pods as a controller does: it tries again where the API
// server cannot reach the webhook of the replica that is gone.
func (s *system) createPatiently(ctx context.Context, namespace string, pods int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range pods {
		group.Go(func() error {
			return s.Until(ctx, "the pod is created", func(ctx context.Context) error {
				return client.IgnoreAlreadyExists(s.Kube.Create(ctx, testenv.Pod(namespace, fmt.Sprintf("pod-%d", i))))
			})
		})
	}
	return group.Wait()
}

// longestPause is how many pods were bound by a time, and the longest time from then
// on in which none was, though some waited.
func (s *system) longestPause(namespace string, from time.Time) (before int, longest time.Duration) {
	var times []time.Time
	for _, p := range s.seen(namespace) {
		if p.Bound.Before(from) {
			before++
		} else {
			times = append(times, p.Bound)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for _, at := range times {
		longest = max(longest, at.Sub(from))
		from = at
	}
	return before, longest
}
