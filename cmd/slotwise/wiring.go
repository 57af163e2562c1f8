package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	registry "sigs.k8s.io/controller-runtime/pkg/metrics"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"slotwise.dev/slotwise/allocator"
	"slotwise.dev/slotwise/allocator/api/v1alpha1"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/controllers"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/leader"
	"slotwise.dev/slotwise/allocator/metrics"
	"slotwise.dev/slotwise/allocator/policy"
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
func newLease(rc *rest.Config, c flags) (*leader.Lease, error) {
	lc := rest.CopyConfig(rc)
	lc.Timeout = c.renewDeadline / 2
	lc.Dial = (&net.Dialer{Timeout: lc.Timeout}).DialContext // a connection of its own: it waits behind nothing
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
	return leader.NewLease(lock, c.renewDeadline, c.retryPeriod), nil
}

func newManager(rc *rest.Config, c flags, configMap types.NamespacedName, lease *leader.Lease, serving func(*tls.Config)) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return ctrl.NewManager(rc, ctrl.Options{
		Scheme:                 scheme,
		Cache:                  controllers.CacheOptions(configMap),
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

func newCertificates(mgr ctrl.Manager, c flags) (*certs.Source, error) {
	m := certs.NewMetrics(registry.Registry)
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

func newAllocator(ctx context.Context, mgr ctrl.Manager, client kubernetes.Interface, lease *leader.Lease, p policy.Policy, read *config.Reader, c flags) (*allocator.Allocator, error) {
	ec2, err := cloud.Dial(ctx, c.region, c.endpoint)
	if err != nil {
		return nil, err
	}
	recorder, record := events.NewRecorder(client, mgr.GetScheme())
	if err := mgr.Add(everywhere(record)); err != nil {
		return nil, err
	}
	m, log, report := metrics.New(registry.Registry), mgr.GetLogger().WithName("allocator"), events.Reporter{Recorder: recorder}
	a := allocator.New(allocator.Options{
		Cloud:     cloud.New(ec2, cloud.Options{Buckets: c.buckets(), Observe: m.Call}),
		Pods:      kube.NewPods(client),
		Bound:     kube.BoundPods(client),
		Nodes:     kube.NewNodes(client),
		NodeSlots: kube.NewNodeSlots(mgr.GetClient(), lease.Held),
		Events:    report,
		Metrics:   m,
		Log:       log,
		Lease:     lease,
		Policy:    p,
		ConfigMap: read.ConfigMap,
	})
	return a, controllers.Setup(mgr, controllers.Options{Fleet: a, Config: read, Events: report, Log: log})
}

func newExtender(a *allocator.Allocator, mutual *tls.Config, c flags) (*extender.Server, error) {
	m := extender.NewMetrics(registry.Registry)
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

func addWebhook(mgr ctrl.Manager, p policy.Policy, read *config.Reader, c flags) {
	webhook.Register(mgr.GetWebhookServer(), mgr.GetScheme(), webhook.Options{
		Besides:       p.Besides(),
		SchedulerName: c.schedulerName,
		Enabled: func(ctx context.Context) (bool, error) {
			s, err := read.Read(ctx, mgr.GetClient(), config.Ignore)
			return s.On(), err
		},
	})
}
