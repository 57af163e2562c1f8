package allocator

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"slotwise.dev/slotwise/allocator/ledger"
)

// Metrics counts what the allocator does. Figures of nodes are read from their
// ledgers when they are asked for.
type Metrics struct {
	calls      *prometheus.CounterVec
	callTime   *prometheus.HistogramVec
	waits      prometheus.Histogram
	duplicates prometheus.Counter
	drifts     prometheus.Counter
	lost       prometheus.Counter
	nodes      *nodeCollector
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
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
			Help: "Times that a network interface was found to differ from its ledger, as when another hand changed it.",
		}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "slotwise_addresses_lost_total",
			Help: "Live pods whose address another client has taken from the network interface, and that could not be taken back.",
		}),
		nodes: &nodeCollector{},
	}
	r.MustRegister(m.calls, m.callTime, m.waits, m.duplicates, m.drifts, m.lost, m.nodes)
	return m
}

// Call counts a call of EC2; it is the cloud client's Observe.
func (m *Metrics) Call(action, code string, took time.Duration) {
	m.calls.WithLabelValues(action, code).Inc()
	m.callTime.WithLabelValues(action).Observe(took.Seconds())
}

func (m *Metrics) waited(d time.Duration) { m.waits.Observe(d.Seconds()) }

func (m *Metrics) attach(a *Allocator) { m.nodes.a = a }

// nodeCollector shows the sums of all ledgers. There is no series per node:
// NodeSlots objects and Node annotations have those figures.
type nodeCollector struct {
	a *Allocator
}

var (
	descLeader    = prometheus.NewDesc("slotwise_leader", "1 while this replica leads and serves the extender, else 0.", nil, nil)
	descEnabled   = prometheus.NewDesc("slotwise_enabled", "1 while Slotwise is on, 0 while it is switched off or stands aside for another allocator. Of the leader.", nil, nil)
	descNodes     = prometheus.NewDesc("slotwise_nodes", "Windows nodes by state: ready, stalled where EC2 does not do what it is asked and only what is free counts, or not_ready while EC2 or the API server has not been read.", []string{"state"}, nil)
	descSlots     = prometheus.NewDesc("slotwise_slots", "Address slots of all ready nodes by what they hold: secondary_ip, prefix, empty.", []string{"holds"}, nil)
	descAddresses = prometheus.NewDesc("slotwise_addresses", "Addresses of all ready nodes by state: in_use, free, cooling.", []string{"state"}, nil)
	descWaiting   = prometheus.NewDesc("slotwise_pods_waiting", "Pods bound, or being bound, that have no address yet.", nil, nil)
	descRemaining = prometheus.NewDesc("slotwise_addresses_remaining", "True remaining capacity of all ready nodes, in pods, each node by itself.", nil, nil)
	descUsable    = prometheus.NewDesc("slotwise_addresses_usable", "What of the true remaining capacity of all ready nodes their kubelets take: they run max-pods at the most.", nil, nil)
	descAdvert    = prometheus.NewDesc("slotwise_addresses_advertised", "Capacity that all ready nodes show to the scheduler.", nil, nil)
	descRoom      = prometheus.NewDesc("slotwise_subnet_room", "Blocks that a subnet can still give and nobody has claimed, by kind: secondary-ip (addresses) or prefix (free aligned /28).", []string{"subnet", "kind"}, nil)
)

// Describe lists the metrics, those too that have no series yet.
func (c *nodeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descLeader, descEnabled, descNodes, descSlots, descAddresses, descWaiting, descRemaining, descUsable, descAdvert, descRoom,
	} {
		ch <- d
	}
}

// Collect sums up the ledgers as they stand.
func (c *nodeCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	leader := number(c.a != nil && c.a.Serving())
	gauge(descLeader, leader)
	if leader == 1 {
		gauge(descEnabled, number(c.a.running()))
	}
	t := c.total()
	gauge(descNodes, t.ready, "ready")
	gauge(descNodes, t.stalled, "stalled")
	gauge(descNodes, t.notReady, "not_ready")
	gauge(descSlots, t.secondaryIPs, "secondary_ip")
	gauge(descSlots, t.prefixes, "prefix")
	gauge(descSlots, t.slots-t.secondaryIPs-t.prefixes, "empty")
	gauge(descAddresses, t.inUse, "in_use")
	gauge(descAddresses, t.free, "free")
	gauge(descAddresses, t.cooling, "cooling")
	gauge(descWaiting, t.waiting)
	gauge(descRemaining, t.remaining)
	gauge(descUsable, t.usable)
	if c.a == nil {
		return
	}
	gauge(descAdvert, t.advertised)
	for _, b := range c.a.subnets.all() {
		for k := range b.room {
			gauge(descRoom, b.available(ledger.Kind(k)), b.id, ledger.Kind(k).String())
		}
	}
}

func number(truth bool) int {
	if truth {
		return 1
	}
	return 0
}

type totals struct {
	ready, stalled, notReady, slots, secondaryIPs, prefixes      int
	inUse, free, cooling, waiting, remaining, usable, advertised int
}

func (c *nodeCollector) total() (t totals) {
	if c.a == nil {
		return t
	}
	for _, n := range c.a.everyNode() {
		s := n.summary.Load()
		if !s.ready {
			t.notReady++
			continue
		}
		if s.limit < unlimited {
			t.stalled++
		} else {
			t.ready++
		}
		t.slots += s.Slots
		t.secondaryIPs += s.SecondaryIPs
		t.prefixes += s.Prefixes
		t.inUse += s.InUse
		t.free += s.Free
		t.cooling += s.Cooling
		t.waiting += s.Waiting
		t.remaining += n.remaining()
		t.usable += n.usable()
		t.advertised += n.advertised(n.name())
	}
	return t
}
