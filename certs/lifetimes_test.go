package certs

import (
	"crypto/x509"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
	certutil "k8s.io/client-go/util/cert"
)

const serverName = "slotwise-extender.slotwise-system.svc"

// live goes through the moments, and calls look with the serving Secret, as
// cert-controller and advance leave it, and the scheduler's.
func live(t *testing.T, l lifetimes, moments []time.Time, look func(now time.Time, serving, scheduler map[string][]byte)) {
	t.Helper()
	issuer := &rotator.CertRotator{CAName: "slotwise-ca", DNSName: serverName, ExtKeyUsages: &serverAuth}
	serving, scheduler := map[string][]byte{}, map[string][]byte{}
	for _, now := range moments {
		certController(t, issuer, l, serving, now)
		moved, err := l.advance(issuer, serving, now)
		if err != nil {
			t.Fatal(err)
		}
		if moved {
			look(now, serving, scheduler)
			certController(t, issuer, l, serving, now)
		}
		if scheduler, err = l.clientData(serving, scheduler, now); err != nil {
			t.Fatal(err)
		}
		look(now, serving, scheduler)
	}
}

// certController does what cert-controller does with the serving Secret.
func certController(t *testing.T, issuer *rotator.CertRotator, l lifetimes, data map[string][]byte, now time.Time) {
	t.Helper()
	at := now.Add(l.renew)
	if good, _ := rotator.ValidCert(data[caCert], data[caCert], data[caKey], issuer.CAName, nil, at); !good {
		ca, err := issuer.CreateCACert(now.Add(-skew), now.Add(l.ca))
		if err != nil {
			t.Fatal(err)
		}
		data[caCert], data[caKey] = ca.CertPEM, ca.KeyPEM
	}
	if good, _ := rotator.ValidCert(data[caCert], data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey], issuer.DNSName, issuer.ExtKeyUsages, at); !good {
		ca, err := signingCA(data)
		if err != nil {
			t.Fatal(err)
		}
		if data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey], err = issuer.CreateCertPEM(ca, now.Add(-skew), now.Add(l.leaf)); err != nil {
			t.Fatal(err)
		}
	}
}

// trusts reports whether someone who trusts the bundle takes the certificate.
func trusts(t *testing.T, bundle, cert []byte, name string, usages []x509.ExtKeyUsage, now time.Time) bool {
	t.Helper()
	pool, err := newPool(bundle)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := certutil.ParseCertsPEM(cert)
	if err != nil {
		t.Fatal(err)
	}
	_, err = certs[0].Verify(x509.VerifyOptions{Roots: pool, DNSName: name, KeyUsages: usages, CurrentTime: now})
	return err == nil
}

// TestOverlap lives through the years in which the CA is replaced, with schedulers
// that were started at every moment: for half a year each of them trusts the
// server, and the server trusts it. Nobody is trusted for longer than need be.
func TestOverlap(t *testing.T) {
	const step = 10 * 24 * time.Hour
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	moments := []time.Time{start}
	for at := start.Add(7 * year); at.Before(start.Add(11 * year)); at = at.Add(step) {
		moments = append(moments, at)
	}

	type started struct {
		at    time.Time
		files map[string][]byte
	}
	var schedulers []started
	var bundles []int // how many CAs were trusted, whenever that changed
	live(t, defaultLifetimes, moments, func(now time.Time, serving, scheduler map[string][]byte) {
		cas, err := certutil.ParseCertsPEM(serving[caCert])
		if err != nil {
			t.Fatal(err)
		}
		if len(bundles) == 0 || bundles[len(bundles)-1] != len(cas) {
			bundles = append(bundles, len(cas))
		}
		if len(scheduler) > 0 {
			schedulers = append(schedulers, started{now, maps.Clone(scheduler)})
		}
		schedulers = slices.DeleteFunc(schedulers, func(s started) bool { return now.Sub(s.at) >= defaultLifetimes.renew })
		for _, s := range schedulers {
			if !trusts(t, s.files[caCert], serving[corev1.TLSCertKey], serverName, serverAuth, now) {
				t.Fatalf("%s: the scheduler started at %s does not trust the server", now, s.at)
			}
			if !trusts(t, serving[caCert], s.files[corev1.TLSCertKey], SchedulerName, clientAuth, now) {
				t.Fatalf("%s: the server does not trust the scheduler started at %s", now, s.at)
			}
		}
	})
	if want := []int{1, 2, 1}; !slices.Equal(bundles, want) {
		t.Errorf("CAs trusted over the years: %v, want %v", bundles, want)
	}
}

// TestAdvanceLeavesDamageAlone: what cannot be read is for cert-controller to
// replace, and a key that belongs to no CA of the bundle is no successor.
func TestAdvanceLeavesDamageAlone(t *testing.T) {
	issuer := &rotator.CertRotator{CAName: "slotwise-ca"}
	now := time.Now()
	ca, err := issuer.CreateCACert(now.Add(-skew), now.Add(year/4))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		data map[string][]byte
		want bool
	}{
		"nothing":        {data: nil},
		"no certificate": {data: map[string][]byte{caCert: []byte("rubbish")}},
		"a lost successor is made again": {
			data: map[string][]byte{caCert: ca.CertPEM, caKey: ca.KeyPEM, nextKey: []byte("rubbish")},
			want: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			moved, err := defaultLifetimes.advance(issuer, tc.data, now)
			if err != nil {
				t.Fatal(err)
			}
			if moved != tc.want {
				t.Errorf("moved: %t, want %t", moved, tc.want)
			}
			if !tc.want {
				return
			}
			if cas, err := certutil.ParseCertsPEM(tc.data[caCert]); err != nil || len(cas) != 2 || !signsWith(cas[1], tc.data[nextKey]) || !signsWith(cas[0], tc.data[caKey]) {
				t.Errorf("no CA and successor with their keys: %d CAs, %v", len(cas), err)
			}
		})
	}
}
