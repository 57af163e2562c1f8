package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/leader"
	"slotwise.dev/slotwise/certs"
)

// run wires everything together and runs it until ctx ends.
func run(ctx context.Context, c flags) error {
	log := zap.New()
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	log.Info("slotwise", "version", version)
	limitMemory(log)

	rc, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("connect to Kubernetes: %w", err)
	}
	rc.QPS = -1 // the API server's priority and fairness decides, not a guess made here
	lease, err := newLease(rc, c)
	if err != nil {
		return err
	}
	kube, err := newKube(rc)
	if err != nil {
		return err
	}
	configMap, err := c.configMapName()
	if err != nil {
		return err
	}
	policy := c.mode.policy()
	read := &config.Reader{ConfigMap: configMap, Beside: !policy.Gives()}
	// The certificates need the manager, and the manager's webhook server the
	// certificates: it asks for them when it starts.
	var source *certs.Source
	mgr, err := newManager(rc, c, configMap, lease, func(t *tls.Config) { source.ServingTLS(t) })
	if err != nil {
		return err
	}
	if source, err = newCertificates(mgr, c); err != nil {
		return err
	}
	a, err := newAllocator(ctx, mgr, kube, lease, policy, read, c)
	if err != nil {
		return err
	}
	server, err := newExtender(a, source.MutualTLS(), c)
	if err != nil {
		return err
	}
	addWebhook(mgr, policy, read, c)
	if err := errors.Join(
		addLeaderLabel(ctx, mgr, kube, c),
		addHealth(mgr, source),
		mgr.Add(everywhere(func(ctx context.Context) error {
			context.AfterFunc(ctx, a.End) // or the server would wait for binds that wait for EC2
			return server.Run(ctx)
		})),
	); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// limitMemory has the garbage collector know the container's limit, so that a large list of
// pods at the start makes it work harder instead of having the process killed. GOMEMLIMIT
// in the environment goes before it.
func limitMemory(log logr.Logger) {
	if _, err := memlimit.Set(memlimit.WithLogger(slog.New(logr.ToSlogHandler(log)))); err != nil {
		log.Info("the container's limit of memory cannot be read: the garbage collector goes without", "error", err.Error())
	}
}

// addLeaderLabel marks this pod while it leads, and unmarks it until then.
func addLeaderLabel(ctx context.Context, mgr ctrl.Manager, kube kubernetes.Interface, c flags) error {
	if c.podName == "" {
		return nil
	}
	label := leader.Label{
		Kube: kube,
		Pod:  types.NamespacedName{Namespace: c.namespace, Name: c.podName},
		Log:  mgr.GetLogger().WithName("leader"),
	}
	if err := label.Clear(ctx); err != nil {
		return err
	}
	return mgr.Add(manager.RunnableFunc(label.Hold))
}

// addHealth tells the kubelet how this replica is. It is alive as long as it
// answers: an API server that is away is no reason to restart it. It is ready
// when it can serve the webhook, which is what every replica is for.
func addHealth(mgr ctrl.Manager, source *certs.Source) error {
	started := mgr.GetWebhookServer().StartedChecker()
	return errors.Join(
		mgr.AddHealthzCheck("alive", healthz.Ping),
		mgr.AddReadyzCheck("webhook", func(r *http.Request) error {
			select {
			case <-source.Ready():
				return started(r)
			default:
				return errors.New("there is no certificate yet")
			}
		}),
	)
}

// everywhere runs on every replica, not on the leader alone.
type everywhere func(context.Context) error

// Start is that of manager.Runnable.
func (f everywhere) Start(ctx context.Context) error { return f(ctx) }

// NeedLeaderElection is that of manager.LeaderElectionRunnable.
func (everywhere) NeedLeaderElection() bool { return false }
