package certs

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
)

var serverAuth = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}

// authority is a CA that tests make certificates with.
type authority struct {
	*rotator.KeyPairArtifacts
	t *testing.T
}

func newCA(t *testing.T) authority {
	t.Helper()
	ca, err := (&rotator.CertRotator{CAName: "ca"}).CreateCACert(time.Now().Add(-skew), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return authority{ca, t}
}

// issue returns a certificate and its key, PEM-encoded.
func (a authority) issue(name string, usages []x509.ExtKeyUsage, end time.Time) (cert, key []byte) {
	a.t.Helper()
	issuer := &rotator.CertRotator{DNSName: name, ExtKeyUsages: &usages}
	cert, key, err := issuer.CreateCertPEM(a.KeyPairArtifacts, time.Now().Add(-2*skew), end)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a authority) client(name string, usages []x509.ExtKeyUsage, end time.Time) *tls.Certificate {
	a.t.Helper()
	pair, err := tls.X509KeyPair(a.issue(name, usages, end))
	if err != nil {
		a.t.Fatal(err)
	}
	return &pair
}

// newSource returns a Source that serves as localhost, by the CA's word, and
// takes its clients from the CAs of the bundle.
func newSource(t *testing.T, ca authority, bundle []byte) *Source {
	t.Helper()
	k := &keeper{metrics: NewMetrics(prometheus.NewRegistry()), ready: make(chan struct{})}
	cert, key := ca.issue("localhost", serverAuth, time.Now().Add(time.Hour))
	if err := k.use(map[string][]byte{caCert: bundle, "tls.crt": cert, "tls.key": key}); err != nil {
		t.Fatal(err)
	}
	return k.source()
}

// serve answers on loopback until the test ends, and returns the URL.
func serve(t *testing.T, config *tls.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		TLSConfig:         config,
		ErrorLog:          log.New(io.Discard, "", 0),
		ReadHeaderTimeout: time.Second,
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { _ = server.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return "https://localhost:" + port
}

// get asks once, on a connection of its own.
func get(t *testing.T, url string, roots []byte, cert *tls.Certificate) error {
	t.Helper()
	client := newClient(t, roots, cert)
	defer client.CloseIdleConnections()
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func newClient(t *testing.T, roots []byte, cert *tls.Certificate) *http.Client {
	t.Helper()
	pool, err := newPool(roots)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: pool}
	if cert != nil {
		// Shown whatever the server asks for, as an attacker would.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
}

func TestMutualTLS(t *testing.T) {
	ca, retired, other := newCA(t), newCA(t), newCA(t)
	bundle := append(append([]byte{}, ca.CertPEM...), retired.CertPEM...)
	url := serve(t, newSource(t, ca, bundle).MutualTLS())
	later, earlier := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)

	for name, tc := range map[string]struct {
		client *tls.Certificate
		want   bool
	}{
		"the scheduler":                 {client: ca.client(SchedulerName, clientAuth, later), want: true},
		"the scheduler, by an older CA": {client: retired.client(SchedulerName, clientAuth, later), want: true},
		"no certificate":                {},
		"another CA's":                  {client: other.client(SchedulerName, clientAuth, later)},
		"somebody else":                 {client: ca.client("somebody", clientAuth, later)},
		"expired":                       {client: ca.client(SchedulerName, clientAuth, earlier)},
		"not for clients":               {client: ca.client(SchedulerName, serverAuth, later)},
	} {
		t.Run(name, func(t *testing.T) {
			err := get(t, url, ca.CertPEM, tc.client)
			if let := err == nil; let != tc.want {
				t.Errorf("let in: %t (%v), want %t", let, err, tc.want)
			}
		})
	}
}

func TestNotReady(t *testing.T) {
	k := &keeper{metrics: NewMetrics(prometheus.NewRegistry()), ready: make(chan struct{})}
	ca := newCA(t)
	if err := get(t, serve(t, k.source().MutualTLS()), ca.CertPEM, nil); err == nil {
		t.Error("a server without a certificate answered")
	}
	select {
	case <-k.source().Ready():
		t.Error("ready without a certificate")
	default:
	}
}

// TestSchedulerReadsItsCertificateAnew: kube-scheduler, which makes its transport
// by rest.TLSConfigFor, goes on with a certificate that replaces its own on disk.
func TestSchedulerReadsItsCertificateAnew(t *testing.T) {
	ca := newCA(t)
	url := serve(t, newSource(t, ca, ca.CertPEM).MutualTLS())
	dir := t.TempDir()
	at := func(file string) string { return filepath.Join(dir, file) }
	write := func(file string, content []byte) {
		if err := os.WriteFile(at(file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hold := func(name string) {
		cert, key := ca.issue(name, clientAuth, time.Now().Add(time.Hour))
		write("tls.crt", cert)
		write("tls.key", key)
	}
	write("ca.crt", ca.CertPEM)
	hold("somebody")
	config, err := rest.TLSConfigFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{
		CAFile: at("ca.crt"), CertFile: at("tls.crt"), KeyFile: at("tls.key"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	ask := func() error {
		response, err := client.Get(url)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	if err := ask(); err == nil {
		t.Fatal("somebody else is let in")
	}
	hold(SchedulerName)
	eventually(t, ask) // it looks once a second
}

// TestServingTLS: the webhook's server asks nobody for a certificate.
func TestServingTLS(t *testing.T) {
	ca := newCA(t)
	config := &tls.Config{}
	newSource(t, ca, ca.CertPEM).ServingTLS(config)
	if err := get(t, serve(t, config), ca.CertPEM, nil); err != nil {
		t.Error(err)
	}
}
