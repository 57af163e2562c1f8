// Package privileges proves that Slotwise may do what it does and nothing else.
// Slotwise runs under its own ServiceAccount with the RBAC of manifests/, through
// all that it does, and the API server's audit log is held against the roles: every
// request was allowed, and every permission was used or has its reason written
// down. So it is with IAM's policies and the calls that the simulated EC2 saw.
//
// Only tests come in.
package privileges

import (
	"context"
	"os"
	"testing"
	"time"

	"slotwise.dev/slotwise/test/check"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/test/testenv"
)

// startTimeout limits the start of a test environment.
const startTimeout = 3 * time.Minute

func TestMain(m *testing.M) {
	controlplane.Quiet()
	os.Exit(m.Run())
}

// start installs an overlay, with a leader and a standby, and has the API server
// write down who does what.
func start(t *testing.T, overlay testenv.Overlay, args ...string) *testenv.Env {
	t.Helper()
	// client-go begins a watch with a list where the API server streams none, as those
	// before Kubernetes 1.34 do not: the run needs all that it may need.
	t.Setenv("KUBE_FEATURE_WatchListClient", "false")
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	e, err := testenv.Start(ctx, testenv.Options{
		Options: controlplane.Options{Audit: true}, Overlay: overlay, Replicas: 2, Args: args,
	})
	check.Must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			requests(t, e, slotwise) // what was refused may be the reason
			e.Keep()
			t.Log("logs of the control plane:", e.LogDir())
		}
		check.Must(t, e.Stop())
	})
	return e
}
