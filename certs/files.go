package certs

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Files takes the certificates from a folder that somebody else keeps fresh: the
// serving certificate from tls.crt and tls.key, and the CAs that vouch for
// kube-scheduler from ca.crt, as in a Secret that cert-manager fills. The manager
// watches them. It is an error if there is no certificate in the folder yet.
func Files(mgr manager.Manager, dir string, m *Metrics) (*Source, error) {
	watcher, err := certwatcher.New(filepath.Join(dir, corev1.TLSCertKey), filepath.Join(dir, corev1.TLSPrivateKeyKey))
	if err != nil {
		return nil, err
	}
	watcher.RegisterCallback(func(c tls.Certificate) { m.ends(servingCertificate, c.Leaf) })
	if err := mgr.Add(watcher); err != nil {
		return nil, err
	}
	s := &Source{
		certificate: func() (*tls.Certificate, error) { return watcher.GetCertificate(nil) },
		clientCAs:   func() (*x509.CertPool, error) { return readPool(filepath.Join(dir, caCert)) },
		ready:       make(chan struct{}),
		metrics:     m,
	}
	close(s.ready)
	return s, nil
}

// readPool reads the CAs at each handshake. There is one for a connection of
// kube-scheduler, which it keeps, so there is nothing to be won by a cache.
func readPool(path string) (*x509.CertPool, error) {
	bundle, err := os.ReadFile(path) //nolint:gosec // the path is a flag's
	if err != nil {
		return nil, err
	}
	return newPool(bundle)
}
