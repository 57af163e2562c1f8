package sim

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/leaderelection"

	"slotwise.dev/slotwise/allocator"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/leader"
	"slotwise.dev/slotwise/allocator/metrics"
	"slotwise.dev/slotwise/allocator/policy"
	"slotwise.dev/slotwise/extender"
)

// slotwise is the product, wired as cmd/slotwise does it.
type slotwise struct {
	env      Environment
	lease    *leader.Lease
	fleet    *allocator.Allocator
	config   *config.Reader
	events   events.Reporter
	handler  http.Handler
	deadline time.Duration // until which the lease must have been renewed
}

// Slotwise builds one life of a replica.
func Slotwise(e Environment) (Replica, error) {
	p := policy.Manage()
	if e.Observe > 0 {
		p = policy.Observe(e.Observe)
	}
	deadline := e.Lease * 2 / 3
	lease := leader.NewLease(e.API.Lock(e.Identity, deadline/2), deadline, e.Retry)
	held := e.Process.Held(lease.Held)
	m, report := metrics.New(prometheus.NewRegistry()), events.Reporter{Recorder: e.API.Events()}
	s := &slotwise{
		env: e, lease: lease, deadline: deadline, events: report,
		config: &config.Reader{ConfigMap: config.ManagedConfigMap, Beside: !p.Gives()},
	}
	s.fleet = allocator.New(allocator.Options{
		Cloud:     cloud.New(e.EC2, cloud.Options{Observe: m.Call}),
		Pods:      e.API.Pods(),
		Bound:     e.API.BoundPods(),
		Nodes:     e.API.Nodes(),
		NodeSlots: e.API.NodeSlots(held),
		Events:    report,
		Metrics:   m,
		Log:       e.Log,
		Lease:     stopping{lease, held},
		Policy:    p,
		ConfigMap: s.config.ConfigMap,
	})
	var err error
	s.handler, err = extender.Handler(extender.Options{
		Rooms: s.fleet, Binder: s.fleet, Evictions: s.fleet, Serving: s.fleet.Serving,
		BindTimeout: 25 * time.Second, // as by the flag --bind-timeout
		Sample:      e.Sample,
	})
	return s, err
}

// stopping is a lease whose holder may be stopped as it asks.
type stopping struct {
	*leader.Lease
	held func() bool
}

func (s stopping) Held() bool { return s.held() }

// Handler serves the extender.
func (s *slotwise) Handler() http.Handler { return s.handler }

// Run lives until ctx ends or the lease is lost. As with controller-runtime's manager,
// what the leader runs ends first, and the lease is given up then.
func (s *slotwise) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, s.fleet.End)
	cluster := follow(ctx, s)
	defer func() {
		cancel()
		if !cluster.leading.Load() {
			_ = s.fleet.Run(ctx) // ends what New has started
		}
	}()
	// A container that was restarted in its pod still has the label of its earlier life.
	if !cluster.cache.Sync(ctx) || setLabel(ctx, s.env, false) != nil {
		return
	}
	var leading sync.WaitGroup
	electing, give := context.WithCancel(context.WithoutCancel(ctx))
	defer give()
	election, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: s.lease, LeaseDuration: s.env.Lease, RenewDeadline: s.deadline, RetryPeriod: s.env.Retry,
		ReleaseOnCancel: true, Name: "slotwise",
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { leading.Go(func() { cluster.lead(ctx, cancel) }) },
			OnStoppedLeading: cancel,
		},
	})
	if err != nil {
		panic(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		election.Run(electing)
	}()
	<-ctx.Done()
	leading.Wait()
	give()
	<-over
}
