package main

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"slotwise.dev/slotwise/allocator"
	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/certs"
	"slotwise.dev/slotwise/extender"
	"slotwise.dev/slotwise/webhook"
)

// leaseName is the Lease by which replicas agree on a leader.
const leaseName = "slotwise"

// shutdownTimeout is how long a replica may take to end. The lease is given up only
// then, so what hangs, such as a request to an API server that is away, is cut off:
// the next leader finds out what became of it, as after a crash.
const shutdownTimeout = 10 * time.Second

// newLease makes the lock by which replicas agree on a leader. A request for it
// may take half of the time in which it must be renewed, no longer.
func newLease(rc *rest.Config, c config) (*allocator.Lease, error) {
	lc := rest.CopyConfig(rc)
	lc.Timeout = c.renewDeadline / 2
	kube, err := kubernetes.NewForConfig(lc)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	identity := resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())}
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, c.namespace, leaseName, kube.CoreV1(), kube.CoordinationV1(), identity)
	if err != nil {
		return nil, err
	}
	return allocator.NewLease(lock, c.renewDeadline), nil
}

func newManager(rc *rest.Config, c config, lease *allocator.Lease, serving func(*tls.Config)) (ctrl.Manager, error) {
	configMap, err := c.configMapName()
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return ctrl.NewManager(rc, ctrl.Options{
		Scheme:                 scheme,
		Cache:                  allocator.Watched(configMap),
		Client:                 client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&v1alpha1.NodeSlots{}}}},
		Metrics:                metricsOptions(c.metricsAddress, serving),
		HealthProbeBindAddress: c.healthAddress,
		WebhookServer: ctrlwebhook.NewServer(ctrlwebhook.Options{
			Port:    c.webhookPort,
			TLSOpts: []func(*tls.Config){serving},
		}),
		LeaderElection:                      true,
		LeaderElectionResourceLockInterface: lease,
		LeaderElectionReleaseOnCancel:       true, // the next leader need not wait for the lease to run out
		LeaseDuration:                       &c.leaseDuration,
		RenewDeadline:                       &c.renewDeadline,
		RetryPeriod:                         &c.retryPeriod,
		GracefulShutdownTimeout:             new(shutdownTimeout),
	})
}

func newCertificates(mgr ctrl.Manager, c config) (*certs.Source, error) {
	m := certs.NewMetrics(metrics.Registry)
	if c.certDir != "" {
		return certs.Files(mgr, c.certDir, m)
	}
	return certs.Rotated(mgr, certs.Options{Namespace: c.namespace, DNSNames: c.certNames, Metrics: m})
}

// newKube makes the client that binds, annotates and advertises. Protobuf
// costs the API server and this process a fraction of JSON.
func newKube(rc *rest.Config) (kubernetes.Interface, error) {
	pc := rest.CopyConfig(rc)
	pc.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	pc.ContentType = "application/vnd.kubernetes.protobuf"
	return kubernetes.NewForConfig(pc)
}

func newAllocator(ctx context.Context, mgr ctrl.Manager, kube kubernetes.Interface, lease *allocator.Lease, c config) (*allocator.Allocator, error) {
	ec2, err := cloud.Dial(ctx, c.region, c.endpoint)
	if err != nil {
		return nil, err
	}
	recorder, err := newEvents(mgr, kube, mgr.GetScheme())
	if err != nil {
		return nil, err
	}
	m := allocator.NewMetrics(metrics.Registry)
	a := allocator.New(allocator.Options{
		Cloud:   cloud.New(ec2, cloud.Options{Buckets: c.buckets(), Observe: m.Call}),
		Kube:    kube,
		Client:  mgr.GetClient(),
		Events:  recorder,
		Metrics: m,
		Log:     mgr.GetLogger().WithName("allocator"),
		Held:    lease.Held,
		Observe: c.mode.observe(),
	})
	configMap, err := c.configMapName()
	if err != nil {
		return nil, err
	}
	if err := a.SetupWithManager(mgr, configMap); err != nil {
		return nil, err
	}
	return a, nil
}

func newExtender(a *allocator.Allocator, mutual *tls.Config, c config) (*extender.Server, error) {
	m := extender.NewMetrics(metrics.Registry)
	return extender.New(extender.Options{
		Address:     c.extenderAddress,
		TLS:         mutual,
		Rooms:       a,
		Binder:      a,
		Evictions:   a,
		Serving:     a.Serving,
		BindTimeout: c.bindTimeout,
		Observe:     m.Observe,
		Refused:     m.Refused,
	})
}

func addWebhook(mgr ctrl.Manager, a *allocator.Allocator, c config) error {
	configMap, err := c.configMapName()
	if err != nil {
		return err
	}
	webhook.Register(mgr.GetWebhookServer(), mgr.GetScheme(), webhook.Options{
		Besides:       a.Besides(),
		SchedulerName: c.schedulerName,
		Enabled: func(ctx context.Context) (bool, error) {
			s, err := a.Read(ctx, mgr.GetClient(), configMap, func(*corev1.ConfigMap, settings.Problem) {})
			return s.On(), err
		},
	})
	return nil
}
