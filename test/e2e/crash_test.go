package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/testenv"
	"slotwise.dev/slotwise/test/witness"
)

// TestI2I4I7KilledInABurst kills the leader in the middle of a burst of pods. The
// standby goes on as soon as the lease has run out, and in the end every pod runs.
// That no pod was bound without its address, none has another's, and none has one too
// soon is seen by the witness, at the end.
func TestI2I4I7KilledInABurst(t *testing.T) {
	t.Parallel()
	const pods = 300
	e := start(t, testenv.Options{Settings: prefixMode, Replicas: 2})
	namespace := e.namespace(t)
	e.nodes(t, "burst", 10, "m5.xlarge", testenv.Subnet)

	created := make(chan error, 1)
	go func() { created <- e.createPatiently(t.Context(), namespace, pods) }()
	check.Must(t, e.Until(t.Context(), "a third of the burst is bound", func(context.Context) error {
		if bound := len(e.lives(namespace)); bound < pods/3 {
			return fmt.Errorf("%d pods are bound", bound)
		}
		return nil
	}))
	leader, err := e.Leader(t.Context())
	check.Must(t, err)
	e.witness.Note(witness.Note{Text: "the leader is killed", Harm: true})
	check.Must(t, leader.Kill())
	before, killed := len(e.lives(namespace)), time.Now()
	check.Must(t, <-created)
	check.Must(t, e.AwaitRunning(t.Context(), namespace, pods))

	t.Logf("the leader was killed when %d of %d pods were bound; all ran after %s", before, pods, time.Since(killed).Round(100*time.Millisecond))
	if before == pods {
		t.Error("the burst was over before the leader was killed")
	}
	e.noEC2Errors(t)
}

// createPatiently creates pods as a controller does: it tries again where the API
// server cannot reach the webhook of the replica that is gone.
func (e *env) createPatiently(ctx context.Context, namespace string, pods int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range pods {
		group.Go(func() error {
			return e.Until(ctx, "the pod is created", func(ctx context.Context) error {
				return client.IgnoreAlreadyExists(e.Kube.Create(ctx, testenv.Pod(namespace, fmt.Sprintf("pod-%d", i))))
			})
		})
	}
	return group.Wait()
}
