package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	certutil "k8s.io/client-go/util/cert"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"slotwise.dev/slotwise/manifests"
	"slotwise.dev/slotwise/test/controlplane"
	"slotwise.dev/slotwise/webhook"
)

const namespace = "slotwise-system"

var (
	// plane has the base installed; the webhook is to be on webhookPort.
	plane       *controlplane.Cluster
	webhookPort int
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(controlplane.Main(m, controlplane.Options{}, func(ctx context.Context, c *controlplane.Cluster) error {
		plane = c
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		webhookPort = listener.Addr().(*net.TCPAddr).Port
		if err := listener.Close(); err != nil {
			return err
		}
		return install(ctx, "base")
	}))
}

func install(ctx context.Context, kustomization string) error {
	objects, err := manifests.Build(kustomization)
	if err != nil {
		return err
	}
	if err := manifests.RedirectWebhook(objects, fmt.Sprintf("https://localhost:%d", webhookPort), nil); err != nil {
		return err
	}
	admin, err := client.New(plane.Admin, client.Options{})
	if err != nil {
		return err
	}
	return manifests.Apply(ctx, admin, objects)
}

// quick has the first CA sign for 12 s, each further one for 6 s.
var quick = lifetimes{
	ca: 18 * time.Second, leaf: 9 * time.Second,
	announce: 12 * time.Second, succeed: 6 * time.Second, renew: 4 * time.Second,
	check: 200 * time.Millisecond,
}

// replica runs a manager with Rotated until the test ends, as the ServiceAccount
// of the manifests.
func replica(t *testing.T, name string, m *Metrics, add func(manager.Manager, *Source) error) *Source {
	t.Helper()
	mgr, err := ctrl.NewManager(serviceAccount(t), ctrl.Options{Metrics: server.Options{BindAddress: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	source, err := Rotated(mgr, Options{Namespace: namespace, DNSNames: []string{"localhost"}, Metrics: m, lifetimes: quick, replica: name})
	if err != nil {
		t.Fatal(err)
	}
	if err := add(mgr, source); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return source
}

func serviceAccount(t *testing.T) *rest.Config {
	t.Helper()
	kubeconfig, err := plane.ServiceAccountKubeconfig(t.Context(), namespace, "slotwise")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func addWebhook(mgr manager.Manager, source *Source) error {
	s := ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: "127.0.0.1", Port: webhookPort, TLSOpts: []func(*tls.Config){source.ServingTLS},
	})
	webhook.Register(s, scheme.Scheme, webhook.Options{Enabled: func(context.Context) (bool, error) { return true, nil }})
	return mgr.Add(s)
}

// TestRotationUnderLoad: two replicas start at once on empty Secrets, and go
// through several CAs, while schedulers call both extenders, on connections that
// they keep and on new ones, and the API server calls the webhook. Not one
// request fails.
func TestRotationUnderLoad(t *testing.T) {
	const duration = 20 * time.Second
	registry := prometheus.NewRegistry()
	first := replica(t, "-1", NewMetrics(registry), addWebhook)
	second := replica(t, "-2", NewMetrics(prometheus.NewRegistry()), func(manager.Manager, *Source) error { return nil })
	for _, s := range []*Source{first, second} {
		select {
		case <-s.Ready():
		case <-time.After(time.Minute):
			t.Fatal("no certificate after a minute")
		}
	}
	if err := install(t.Context(), "webhook"); err != nil { // last, as manifests/README.md says
		t.Fatal(err)
	}
	eventually(t, func() error { return createWindowsPod(t.Context()) })
	eventually(t, func() error { _, err := schedulerFiles(t.Context()); return err })

	end := time.Now().Add(duration)
	var load sync.WaitGroup
	var requests atomic.Int64
	repeat := func(what string, request func() error) {
		load.Go(func() {
			for time.Now().Before(end) {
				if err := request(); err != nil {
					t.Errorf("%s: %v", what, err)
					return
				}
				requests.Add(1)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	repeat("the API server calls the webhook", func() error { return createWindowsPod(t.Context()) })
	for name, source := range map[string]*Source{"first": first, "second": second} {
		url := serve(t, source.MutualTLS())
		repeat("connections kept to the "+name, (&scheduler{t: t, url: url}).call)
		repeat("new connections to the "+name, (&scheduler{t: t, url: url, reconnects: true}).call)
	}
	seen := distinctCAs(t, end)
	load.Wait()
	t.Logf("%d requests, %d CAs", requests.Load(), seen)
	if seen < 3 {
		t.Errorf("%d CAs signed in %s, want 3 at least", seen, duration)
	}
	eventually(t, func() error { return metricsTell(t.Context(), registry) })
}

// metricsTell compares the ends of the certificates in the Secrets with those
// that the metrics tell.
func metricsTell(ctx context.Context, registry *prometheus.Registry) error {
	for certificate, from := range map[string][2]string{
		"serving":          {ServingSecret, corev1.TLSCertKey},
		"ca":               {ServingSecret, caCert},
		"scheduler-client": {SchedulerSecret, corev1.TLSCertKey},
	} {
		secret, err := plane.Client.CoreV1().Secrets(namespace).Get(ctx, from[0], metav1.GetOptions{})
		if err != nil {
			return err
		}
		certs, err := certutil.ParseCertsPEM(secret.Data[from[1]])
		if err != nil {
			return err
		}
		if got, err := end(registry, certificate); err != nil || !got.Equal(certs[0].NotAfter) {
			return fmt.Errorf("the metric has %s of %s (%w), want %s", got, certificate, err, certs[0].NotAfter)
		}
	}
	return nil
}

// scheduler is started again as often as it has to be, and not more: it reads its
// certificates only then.
type scheduler struct {
	t          *testing.T
	url        string
	reconnects bool

	started time.Time
	client  *http.Client
}

func (s *scheduler) call() error {
	if time.Since(s.started) > quick.renew*8/10 {
		if err := s.start(); err != nil {
			return err
		}
	}
	response, err := s.client.Get(s.url)
	if err != nil {
		return fmt.Errorf("%s after the start: %w", time.Since(s.started), err)
	}
	if s.reconnects {
		s.client.CloseIdleConnections()
	}
	return response.Body.Close()
}

func (s *scheduler) start() error {
	files, err := schedulerFiles(s.t.Context())
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(files[corev1.TLSCertKey], files[corev1.TLSPrivateKeyKey])
	if err != nil {
		return err
	}
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
	s.client, s.started = newClient(s.t, files[caCert], &pair), time.Now()
	return nil
}

// schedulerFiles reads what an operator copies to the hosts of kube-scheduler.
func schedulerFiles(ctx context.Context) (map[string][]byte, error) {
	secret, err := plane.Client.CoreV1().Secrets(namespace).Get(ctx, SchedulerSecret, metav1.GetOptions{})
	if err == nil && len(secret.Data) == 0 {
		err = errors.New("the Secret is empty")
	}
	if err != nil {
		return nil, err
	}
	return secret.Data, nil
}

// createWindowsPod creates one, all but the last step, which the webhook has to see.
func createWindowsPod(ctx context.Context) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "pod-"},
		Spec: corev1.PodSpec{
			OS:         &corev1.PodOS{Name: corev1.Windows},
			Containers: []corev1.Container{{Name: "main", Image: "pause"}},
		},
	}
	pod, err := plane.Client.CoreV1().Pods(metav1.NamespaceDefault).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil && len(pod.Spec.Containers[0].Resources.Requests) == 0 {
		err = errors.New("the webhook has not seen it")
	}
	return err
}

// distinctCAs counts the CAs that sign, one after the other, until the end.
func distinctCAs(t *testing.T, end time.Time) (n int) {
	var last []byte
	for time.Now().Before(end) {
		secret, err := plane.Client.CoreV1().Secrets(namespace).Get(t.Context(), ServingSecret, metav1.GetOptions{})
		if err != nil {
			t.Error(err)
			return n
		}
		if !bytes.Equal(last, secret.Data[caKey]) {
			last, n = secret.Data[caKey], n+1
		}
		time.Sleep(100 * time.Millisecond)
	}
	return n
}

// eventually fails the test if check still fails after half a minute.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal(err)
}
