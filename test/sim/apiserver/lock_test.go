package apiserver

import (
	"context"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/leaderelection"
)

// elect runs client-go's own election, and notes who begins to lead and who stops.
func elect(ctx context.Context, c *Client, id string, note func(string)) {
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock:            c.Lock(id, 5*time.Second),
		LeaseDuration:   15 * time.Second,
		RenewDeadline:   10 * time.Second,
		RetryPeriod:     2 * time.Second,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { note(id + " leads") },
			OnStoppedLeading: func() { note(id + " stops") },
		},
	})
}

func TestLeaderElection(t *testing.T) {
	bubble(t, func(t *testing.T, s *Server) {
		ctx, cancel := context.WithCancel(t.Context())
		var replicas sync.WaitGroup
		t.Cleanup(func() { cancel(); replicas.Wait() })
		notes := make(chan string, 10)
		first, second := dial(s, Healthy()), dial(s, Healthy())
		start := func(c *Client, id string) {
			replicas.Go(func() { elect(ctx, c, id, func(text string) { notes <- text }) })
		}
		start(first, "first")
		if got := <-notes; got != "first leads" {
			t.Fatal(got)
		}
		start(second, "second")
		time.Sleep(time.Hour)
		if len(notes) > 0 {
			t.Fatalf("after a quiet hour: %s", <-notes)
		}
		// The first gives up 10 s after its last renewal, and then tries in vain to release
		// the lease; the second takes it 15 s after the last renewal that it has seen. Both
		// look every 2 to 4.4 s (client-go v0.37.2, leaderelection.go, JitterFactor).
		cut := time.Now()
		first.link.Partition()
		for range 2 {
			got := <-notes
			if after := time.Since(cut); after < 5*time.Second || after > 25*time.Second || got != "first stops" && got != "second leads" {
				t.Fatalf("%s after %v", got, after)
			}
		}
		lease, _ := s.Leases().Get(Lease)
		if *lease.Spec.HolderIdentity != "second" || *lease.Spec.LeaseTransitions != 1 {
			t.Errorf("lease is %+v", lease.Spec)
		}
		cancel()
		if got := <-notes; got != "second stops" {
			t.Error(got)
		}
	})
}
