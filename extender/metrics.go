package extender

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"slotwise.dev/slotwise/allocator/capacity"
)

// Metrics counts what the scheduler asked and what it was told.
type Metrics struct {
	requests *prometheus.HistogramVec
	refused  *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "slotwise_extender_request_duration_seconds",
			Help:    "Requests of kube-scheduler by verb and outcome, and how long they took.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
		}, []string{"verb", "outcome"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "slotwise_extender_nodes_refused_total",
			Help: "Nodes that filter turned away, by reason.",
		}, []string{"reason"}),
	}
	r.MustRegister(m.requests, m.refused)
	return m
}

// Observe is for Options.Observe.
func (m *Metrics) Observe(verb, outcome string, took time.Duration) {
	m.requests.WithLabelValues(verb, outcome).Observe(took.Seconds())
}

// Refused is for Options.Refused.
func (m *Metrics) Refused(r capacity.Reason, nodes int) {
	m.refused.WithLabelValues(r.String()).Add(float64(nodes))
}
