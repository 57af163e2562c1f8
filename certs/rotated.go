package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	certutil "k8s.io/client-go/util/cert"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Names of what manifests/base creates for Rotated to fill.
const (
	// ServingSecret holds the CAs, the key of the one that signs, and the serving
	// certificate.
	ServingSecret = "slotwise-serving"
	// SchedulerSecret holds what kube-scheduler needs: ca.crt, tls.crt, tls.key.
	SchedulerSecret = "slotwise-scheduler-client" //nolint:gosec // the name of a Secret is none
	// WebhookConfiguration gets the CAs.
	WebhookConfiguration = "slotwise"
)

// Options are where and for whom certificates are made.
type Options struct {
	// Namespace is that of the Secrets and of the Services. Required.
	Namespace string

	// DNSNames are names of the server beside those of its Services.
	DNSNames []string

	// Metrics are told of each certificate. Required.
	Metrics *Metrics

	lifetimes lifetimes // zero: defaultLifetimes
	replica   string    // tells managers in one process apart
}

// Rotated makes the certificates and keeps them fresh while the manager runs, on
// every replica: what two write at once the API server lets only one of them
// write, and the other reads it. Both Secrets have to exist, empty at first.
func Rotated(mgr manager.Manager, o Options) (*Source, error) {
	if o.lifetimes == (lifetimes{}) {
		o.lifetimes = defaultLifetimes
	}
	certRotator, err := addRotator(mgr, o)
	if err != nil {
		return nil, fmt.Errorf("rotate certificates: %w", err)
	}
	k := &keeper{
		namespace: o.Namespace, lifetimes: o.lifetimes, issuer: certRotator, metrics: o.Metrics, ready: make(chan struct{}),
	}
	if err := k.addTo(mgr, "certificates"+o.replica); err != nil {
		return nil, fmt.Errorf("rotate certificates: %w", err)
	}
	return k.source(), nil
}

// addRotator adds cert-controller to the manager: it makes the CA and the serving
// certificate, and writes the CAs into the webhook's configuration.
func addRotator(mgr manager.Manager, o Options) (*rotator.CertRotator, error) {
	ready := make(chan struct{})
	dir, err := mountedLookalike(ready)
	if err != nil {
		return nil, err
	}
	service := func(name string) string { return name + "." + o.Namespace + ".svc" }
	r := &rotator.CertRotator{
		SecretKey:              types.NamespacedName{Namespace: o.Namespace, Name: ServingSecret},
		CertDir:                dir,
		CAName:                 "slotwise-ca",
		CAOrganization:         "slotwise",
		DNSName:                service("slotwise-webhook"),
		ExtraDNSNames:          append([]string{service("slotwise-extender"), service("slotwise-metrics")}, o.DNSNames...),
		IsReady:                ready,
		Webhooks:               []rotator.WebhookInfo{{Name: WebhookConfiguration, Type: rotator.Mutating}},
		FieldOwner:             "slotwise",
		CaCertDuration:         o.lifetimes.ca,
		ServerCertDuration:     o.lifetimes.leaf,
		LookaheadInterval:      o.lifetimes.renew,
		RotationCheckFrequency: o.lifetimes.check,
		ControllerName:         "cert-rotator" + o.replica,
	}
	return r, rotator.AddRotator(mgr, r)
}

// mountedLookalike makes a folder with an empty tls.crt, and removes it once seen
// is closed. cert-controller, which takes it that the Secret is mounted as a
// volume, ends the manager if no such file appears, but never reads it. Here the
// Secret itself is read: a volume follows it a minute late.
func mountedLookalike(seen <-chan struct{}) (string, error) {
	dir, err := os.MkdirTemp("", "slotwise-certs-")
	if err != nil {
		return "", err
	}
	go func() {
		<-seen
		_ = os.RemoveAll(dir)
	}()
	return dir, os.WriteFile(filepath.Join(dir, corev1.TLSCertKey), nil, 0o600)
}

// keeper does what cert-controller does not: it moves the CA on, makes the
// scheduler's client certificate, and hands all of it to the Source.
type keeper struct {
	client    client.Client // reads from a cache of the namespace's Secrets
	namespace string
	lifetimes lifetimes
	issuer    *rotator.CertRotator
	metrics   *Metrics

	current atomic.Pointer[material]
	ready   chan struct{}
}

// material is what the servers use at one moment.
type material struct {
	certificate tls.Certificate
	clientCAs   *x509.CertPool
}

func (k *keeper) source() *Source {
	return &Source{certificate: k.certificate, clientCAs: k.clientCAs, ready: k.ready, metrics: k.metrics}
}

// addTo adds the keeper to the manager, with a cache of its own, so that the
// manager's needs no Secrets.
func (k *keeper) addTo(mgr manager.Manager, name string) error {
	namespace, err := cluster.New(mgr.GetConfig(), func(o *cluster.Options) {
		o.Scheme = mgr.GetScheme()
		o.Cache.DefaultNamespaces = map[string]cache.Config{k.namespace: {}}
	})
	if err != nil {
		return err
	}
	if err := mgr.Add(namespace); err != nil {
		return err
	}
	k.client = namespace.GetClient()
	return ctrl.NewControllerManagedBy(mgr).Named(name).
		WatchesRawSource(source.Kind(namespace.GetCache(), &corev1.Secret{}, handler.TypedEnqueueRequestsFromMapFunc(k.request))).
		WithOptions(controller.Options{NeedLeaderElection: new(false)}).
		Complete(k)
}

// request asks for one look at both Secrets if either has changed.
func (k *keeper) request(_ context.Context, secret *corev1.Secret) []reconcile.Request {
	if secret.Name != ServingSecret && secret.Name != SchedulerSecret {
		return nil
	}
	return []reconcile.Request{{NamespacedName: k.key(ServingSecret)}}
}

func (k *keeper) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: k.namespace, Name: name}
}

// Reconcile brings the Source and both Secrets up to date.
func (k *keeper) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	serving, scheduler := &corev1.Secret{}, &corev1.Secret{}
	if err := k.client.Get(ctx, k.key(ServingSecret), serving); err != nil {
		return reconcile.Result{}, err
	}
	if err := k.client.Get(ctx, k.key(SchedulerSecret), scheduler); err != nil {
		return reconcile.Result{}, err
	}
	if len(serving.Data[corev1.TLSCertKey]) == 0 {
		return reconcile.Result{}, nil // cert-controller is about to make it
	}
	if err := k.use(serving.Data); err != nil {
		return reconcile.Result{}, err
	}

	moved, err := k.lifetimes.advance(k.issuer, serving.Data, time.Now())
	if err != nil {
		return reconcile.Result{}, err
	}
	if moved {
		return reconcile.Result{}, k.write(ctx, serving, "CA moved on")
	}
	data, err := k.lifetimes.clientData(serving.Data, scheduler.Data, time.Now())
	if err != nil {
		return reconcile.Result{}, err
	}
	if !maps.EqualFunc(data, scheduler.Data, bytes.Equal) {
		scheduler.Data = data
		return reconcile.Result{}, k.write(ctx, scheduler, "kube-scheduler's certificates changed: where it does not mount this Secret, they have to be copied to it")
	}
	cert, err := certutil.ParseCertsPEM(data[corev1.TLSCertKey])
	if err != nil {
		return reconcile.Result{}, err
	}
	k.metrics.ends(schedulerCertificate, cert[0])
	return reconcile.Result{RequeueAfter: k.lifetimes.check}, nil
}

// write stores the Secret. Where somebody else was faster, nothing is written:
// word of their change is on its way and calls again.
func (k *keeper) write(ctx context.Context, secret *corev1.Secret, why string) error {
	err := k.client.Update(ctx, secret)
	if apierrors.IsConflict(err) {
		return nil
	}
	if err == nil {
		log.FromContext(ctx).Info(why, "secret", secret.Name)
	}
	return err
}

// use has the servers use the data of the serving Secret from now on.
func (k *keeper) use(data map[string][]byte) error {
	certificate, err := tls.X509KeyPair(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return err
	}
	cas, err := certutil.ParseCertsPEM(data[caCert])
	if err != nil {
		return fmt.Errorf("CA bundle: %w", err)
	}
	k.metrics.ends(servingCertificate, certificate.Leaf)
	k.metrics.ends(caCertificate, cas[0])
	if k.current.Swap(&material{certificate: certificate, clientCAs: poolOf(cas)}) == nil {
		close(k.ready)
	}
	return nil
}

func (k *keeper) certificate() (*tls.Certificate, error) {
	if m := k.current.Load(); m != nil {
		return &m.certificate, nil
	}
	return nil, errNoCertificate
}

func (k *keeper) clientCAs() (*x509.CertPool, error) {
	if m := k.current.Load(); m != nil {
		return m.clientCAs, nil
	}
	return nil, errNoCertificate
}
