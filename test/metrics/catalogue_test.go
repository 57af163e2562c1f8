// Package metrics holds what is said of Slotwise's metrics against the code that
// makes them: the table in the README.md of manifests/monitoring, which is generated
// here, and the alerts and the dashboard beside it. And the alerts against their runbooks.
//
// Only tests come in.
package metrics

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"slotwise.dev/slotwise/allocator/metrics"
	"slotwise.dev/slotwise/certs"
	"slotwise.dev/slotwise/extender"
)

// metric is what the code says of one of its metrics.
type metric struct {
	name   string
	kind   string // counter, gauge, histogram
	help   string
	labels []string
}

// catalogue lists all metrics, by name.
func catalogue(t *testing.T) []metric {
	t.Helper()
	r := &registerer{}
	// The same as cmd/slotwise registers.
	metrics.New(r)
	extender.NewMetrics(r)
	certs.NewMetrics(r)

	var all []metric
	for _, c := range r.collectors {
		descs := make(chan *prometheus.Desc)
		go func() {
			c.Describe(descs)
			close(descs)
		}()
		for d := range descs {
			all = append(all, newMetric(t, d, kindOf(c)))
		}
	}
	slices.SortFunc(all, func(a, b metric) int { return cmp.Compare(a.name, b.name) })
	return all
}

// registerer keeps what is registered.
type registerer struct{ collectors []prometheus.Collector }

func (r *registerer) Register(c prometheus.Collector) error {
	r.collectors = append(r.collectors, c)
	return nil
}

func (r *registerer) MustRegister(all ...prometheus.Collector) {
	r.collectors = append(r.collectors, all...)
}

func (r *registerer) Unregister(prometheus.Collector) bool { panic("nothing is unregistered") }

// kindOf is the type of a collector's metrics. What the allocator collects itself
// are gauges.
func kindOf(c prometheus.Collector) string {
	switch c.(type) {
	case *prometheus.HistogramVec, prometheus.Histogram:
		return "histogram"
	case *prometheus.GaugeVec, prometheus.Gauge: // before counters, which gauges could be, too
		return "gauge"
	case *prometheus.CounterVec, prometheus.Counter:
		return "counter"
	default:
		return "gauge"
	}
}

// described is how a prometheus.Desc shows itself, which is all that it does.
var described = regexp.MustCompile(`^Desc\{fqName: "(\w+)", help: "(.*)", unit: "", constLabels: \{\}, variableLabels: \{([\w,]*)\}\}$`)

func newMetric(t *testing.T, d *prometheus.Desc, kind string) metric {
	t.Helper()
	parts := described.FindStringSubmatch(d.String())
	if parts == nil {
		t.Fatalf("cannot read %s", d)
	}
	m := metric{name: parts[1], kind: kind, help: parts[2]}
	if parts[3] != "" {
		m.labels = strings.Split(parts[3], ",")
	}
	return m
}

// TestNames holds names and texts to Prometheus's conventions.
func TestNames(t *testing.T) {
	var exposition strings.Builder
	for _, m := range catalogue(t) {
		fmt.Fprintf(&exposition, "# HELP %[1]s %[2]s\n# TYPE %[1]s %[3]s\n", m.name, m.help, m.kind)
		if m.kind == "histogram" {
			fmt.Fprintf(&exposition, "%[1]s_bucket{le=\"+Inf\"} 0\n%[1]s_sum 0\n%[1]s_count 0\n", m.name)
		} else {
			fmt.Fprintf(&exposition, "%s 0\n", m.name)
		}
		if !strings.HasPrefix(m.name, "slotwise_") || !strings.HasSuffix(m.help, ".") {
			t.Errorf("%s: %q: want the prefix slotwise_, and a sentence", m.name, m.help)
		}
	}
	problems, err := promlint.New(strings.NewReader(exposition.String())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
