package certs

import (
	"crypto/x509"

	"github.com/prometheus/client_golang/prometheus"
)

// Names of certificates in the metrics.
const (
	servingCertificate   = "serving"
	caCertificate        = "ca"
	schedulerCertificate = "scheduler-client"
	shownCertificate     = "scheduler-shown"
)

// Metrics tell when the certificates end.
type Metrics struct {
	notAfter *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{notAfter: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "slotwise_certificate_not_after_timestamp_seconds",
		Help: "End of a certificate, in seconds since 1970: serving, ca (the one that signs), scheduler-client, scheduler-shown (as kube-scheduler showed it last; a copy may be older). ca and scheduler-client only where Slotwise makes them itself.",
	}, []string{"certificate"})}
	r.MustRegister(m.notAfter)
	return m
}

// ends notes the end of a certificate.
func (m *Metrics) ends(name string, cert *x509.Certificate) {
	m.notAfter.WithLabelValues(name).Set(float64(cert.NotAfter.Unix()))
}
