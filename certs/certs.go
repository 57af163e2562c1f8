// Package certs brings the certificates of webhook and extender, and keeps them
// fresh while both serve.
//
// They come from one of two places. [Rotated] makes them: a CA of Slotwise's own,
// a serving certificate, and a client certificate for kube-scheduler, all kept in
// Secrets, renewed in time, and the CA written into the webhook's configuration.
// [Files] takes them from a folder, as cert-manager and others mount it.
//
// Only cmd comes in. What it takes away is a [Source], whose TLS configurations
// look up certificates and CAs anew at each handshake: nothing is restarted, and
// no connection is dropped, when they change.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	certutil "k8s.io/client-go/util/cert"
)

// SchedulerName is the DNS name in the client certificate by which the extender
// knows kube-scheduler. A CA may vouch for others, too.
const SchedulerName = "slotwise-scheduler"

// minVersion is what TLS has to be at least. A Kubernetes built for FIPS may not
// speak more than 1.2.
const minVersion = tls.VersionTLS12

// errNoCertificate is given to those who connect before Ready.
var errNoCertificate = errors.New("there is no certificate yet")

// Source gives the certificates of the moment. Use it from any goroutine.
type Source struct {
	certificate func() (*tls.Certificate, error)
	clientCAs   func() (*x509.CertPool, error)
	ready       chan struct{}
	metrics     *Metrics
}

// Ready is closed once there is a certificate to serve.
func (s *Source) Ready() <-chan struct{} { return s.ready }

// ServingTLS has a server show the serving certificate. It fits into the TLSOpts
// of controller-runtime's servers.
func (s *Source) ServingTLS(c *tls.Config) {
	c.MinVersion = minVersion
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate() }
}

// MutualTLS is for the extender's server: it shows the serving certificate, and
// lets nobody in but kube-scheduler, by a client certificate in the name of
// SchedulerName that one of the CAs of the moment vouches for.
func (s *Source) MutualTLS() *tls.Config {
	config := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		cas, err := s.clientCAs()
		if err != nil {
			return nil, err
		}
		config := &tls.Config{
			ClientAuth:       tls.RequireAndVerifyClientCert,
			ClientCAs:        cas,
			VerifyConnection: s.verifyScheduler,
			// A resumed session would rest on the CAs of an earlier moment.
			SessionTicketsDisabled: true,
		}
		s.ServingTLS(config)
		return config, nil
	}}
	s.ServingTLS(config)
	return config
}

// verifyScheduler notes the end of the certificate that kube-scheduler shows: where
// that is a copy, nobody else knows when it was made.
func (s *Source) verifyScheduler(state tls.ConnectionState) error {
	shown := state.PeerCertificates[0]
	if err := shown.VerifyHostname(SchedulerName); err != nil {
		return err
	}
	s.metrics.ends(shownCertificate, shown)
	return nil
}

// newPool reads all CAs out of PEM.
func newPool(bundle []byte) (*x509.CertPool, error) {
	cas, err := certutil.ParseCertsPEM(bundle)
	if err != nil {
		return nil, fmt.Errorf("CA bundle: %w", err)
	}
	return poolOf(cas), nil
}

func poolOf(cas []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, ca := range cas {
		pool.AddCert(ca)
	}
	return pool
}
