// Package metrics counts what the allocator does, and shows the sums of all ledgers.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are counters of what is done. Figures of nodes are read from a Source when
// they are asked for.
type Metrics struct {
	calls      *prometheus.CounterVec
	callTime   *prometheus.HistogramVec
	waits      prometheus.Histogram
	duplicates prometheus.Counter
	drifts     prometheus.Counter
	lost       prometheus.Counter
	totals     *collector
}

// New makes the metrics and registers them.
func New(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "slotwise_ec2_calls_total",
			Help: "EC2 calls by action and by EC2's error code (empty when the call succeeded).",
		}, []string{"action", "code"}),
		callTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "slotwise_ec2_call_duration_seconds",
			Help:    "How long EC2 took to answer, by action.",
			Buckets: prometheus.ExponentialBuckets(0.025, 2, 12),
		}, []string{"action"}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "slotwise_bind_address_wait_seconds",
			Help:    "How long a bind waited until it had an address; near zero when one was free.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "slotwise_addresses_duplicated_total",
			Help: "Times that two live pods were seen with one address; the younger is evicted.",
		}),
		drifts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "slotwise_ledger_corrected_total",
			Help: "Times that a network interface was found to differ from its ledger, as when another client of EC2 changed it.",
		}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "slotwise_addresses_lost_total",
			Help: "Live pods whose address another client has taken from the network interface, and that could not be taken back.",
		}),
		totals: &collector{},
	}
	r.MustRegister(m.calls, m.callTime, m.waits, m.duplicates, m.drifts, m.lost, m.totals)
	return m
}

// Call counts a call of EC2; it is the cloud client's Observe.
func (m *Metrics) Call(action, code string, took time.Duration) {
	m.calls.WithLabelValues(action, code).Inc()
	m.callTime.WithLabelValues(action).Observe(took.Seconds())
}

// Waited counts a bind that waited so long until it had an address.
func (m *Metrics) Waited(d time.Duration) { m.waits.Observe(d.Seconds()) }

// Duplicate counts that two live pods were seen with one address.
func (m *Metrics) Duplicate() { m.duplicates.Inc() }

// Drift counts that an interface was found to differ from its ledger.
func (m *Metrics) Drift() { m.drifts.Inc() }

// Lost counts a live pod that has lost its address.
func (m *Metrics) Lost() { m.lost.Inc() }

// Attach has figures read from a source from now on.
func (m *Metrics) Attach(s Source) { m.totals.source.Store(&s) }
