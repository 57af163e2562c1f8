package certs

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
	certutil "k8s.io/client-go/util/cert"
)

// Keys of the Secrets, beside corev1.TLSCertKey and corev1.TLSPrivateKeyKey. The
// first two are cert-controller's: it signs with the first CA in caCert, whose
// key is caKey, and hands the whole of caCert to the webhook's configuration.
const (
	caCert  = "ca.crt"
	caKey   = "ca.key"
	nextKey = "next-ca.key" // of the CA that is to follow
)

// lifetimes say how long certificates last, and how long before its end each is
// replaced.
type lifetimes struct {
	ca   time.Duration // a CA
	leaf time.Duration // a serving or client certificate

	announce time.Duration // the next CA is made, and trusted beside this one
	succeed  time.Duration // the next CA takes over; this one stays trusted
	renew    time.Duration // a serving or client certificate is made anew

	check time.Duration // how often all this is looked at
}

// defaultLifetimes let kube-scheduler go on for half a year (renew) with the files
// that it has, whenever somebody copied them to it. It reads its own certificate at
// each connection, but the CAs only as it starts: a year (announce - succeed) is
// the time to start it again in, once in eight.
//
// renew is less than succeed, as cert-controller renews CAs by it, too, and less
// gently than advance.
var defaultLifetimes = lifetimes{
	ca:       10 * year,
	leaf:     year,
	announce: 2 * year,
	succeed:  year,
	renew:    year / 2,
	check:    12 * time.Hour,
}

const year = 365 * 24 * time.Hour

// skew is how far back certificates are dated, for clocks that are behind.
const skew = time.Hour

// advance moves the CA in the data of the serving Secret one step on, if it is
// time, and reports whether it did. cert-controller alone would put a new CA in
// the place of the old one at a stroke, and whoever knew the old one only would
// be cut off. Here a CA goes through three states, and caCert holds all that are
// to be trusted:
//
//	[A]     A signs
//	[A, B]  A signs; B is known, so that everybody trusts it when its time comes
//	[B, A]  B signs; what A has signed is still good, until A ends
//
// The certificates that A has signed are then seen to be out of order, and made
// anew by cert-controller and clientSecret. Where there is no CA, or none that
// can be read, it is for cert-controller to make one.
func (l lifetimes) advance(issuer *rotator.CertRotator, data map[string][]byte, now time.Time) (bool, error) {
	cas, err := certutil.ParseCertsPEM(data[caCert])
	if err != nil {
		return false, nil //nolint:nilerr // cert-controller's to fix
	}
	current := cas[0]
	others := slices.DeleteFunc(slices.Clone(cas[1:]), func(ca *x509.Certificate) bool { return now.After(ca.NotAfter) })
	next := slices.IndexFunc(others, func(ca *x509.Certificate) bool { return signsWith(ca, data[nextKey]) })

	switch left := current.NotAfter.Sub(now); {
	case next < 0 && left < l.announce:
		made, err := issuer.CreateCACert(now.Add(-skew), now.Add(l.ca))
		if err != nil {
			return false, err
		}
		others = append(others, made.Cert)
		data[nextKey] = made.KeyPEM
	case next >= 0 && left < l.succeed:
		current, others[next] = others[next], current
		data[caKey] = data[nextKey]
		delete(data, nextKey)
	case len(others) == len(cas)-1:
		return false, nil
	}
	data[caCert], err = certutil.EncodeCertificates(append([]*x509.Certificate{current}, others...)...)
	return true, err
}

// signsWith reports whether the key is the CA's.
func signsWith(ca *x509.Certificate, key []byte) bool {
	cert, err := certutil.EncodeCertificates(ca)
	if err != nil {
		return false
	}
	_, err = tls.X509KeyPair(cert, key)
	return err == nil
}

// clientAuth is what the scheduler's certificate is good for, and nothing else.
var clientAuth = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}

// clientData returns what the scheduler's Secret should hold: the CAs of the
// serving Secret, and a client certificate that the first of them has signed,
// the one at hand unless it is near its end.
func (l lifetimes) clientData(serving, have map[string][]byte, now time.Time) (map[string][]byte, error) {
	cert, key := have[corev1.TLSCertKey], have[corev1.TLSPrivateKeyKey]
	if good, _ := rotator.ValidCert(serving[caCert], cert, key, SchedulerName, &clientAuth, now.Add(l.renew)); !good {
		ca, err := signingCA(serving)
		if err != nil {
			return nil, err
		}
		issuer := &rotator.CertRotator{DNSName: SchedulerName, ExtKeyUsages: &clientAuth}
		if cert, key, err = issuer.CreateCertPEM(ca, now.Add(-skew), now.Add(l.leaf)); err != nil {
			return nil, err
		}
	}
	return map[string][]byte{caCert: serving[caCert], corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key}, nil
}

// signingCA returns the CA that signs, in cert-controller's terms.
func signingCA(serving map[string][]byte) (*rotator.KeyPairArtifacts, error) {
	pair, err := tls.X509KeyPair(serving[caCert], serving[caKey])
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the CA's key is not an RSA key")
	}
	return &rotator.KeyPairArtifacts{Cert: pair.Leaf, Key: key}, nil
}
