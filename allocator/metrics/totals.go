package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Source sums all ledgers up as they stand.
type Source interface{ Totals() Totals }

// Totals are sums over all ready nodes; there is no series per node: NodeSlots objects
// and Node annotations have those figures.
type Totals struct {
	Leading, Enabled                                             bool
	Ready, Stalled, NotReady                                     int // nodes
	Slots, SecondaryIPs, Prefixes                                int
	InUse, Free, Cooling, Waiting, Remaining, Usable, Advertised int // addresses, or pods
	Rooms                                                        []Room
}

// Room is how many blocks of a kind a subnet can still give and nobody has claimed.
type Room struct {
	Subnet, Kind string
	Blocks       int
}

// collector shows totals.
type collector struct {
	source atomic.Pointer[Source] // nil before there is one
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
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descLeader, descEnabled, descNodes, descSlots, descAddresses, descWaiting, descRemaining, descUsable, descAdvert, descRoom,
	} {
		ch <- d
	}
}

// Collect sums up the ledgers as they stand.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	var t Totals
	source := c.source.Load()
	if source != nil {
		t = (*source).Totals()
	}
	gauge(descLeader, number(t.Leading))
	if t.Leading {
		gauge(descEnabled, number(t.Enabled))
	}
	gauge(descNodes, t.Ready, "ready")
	gauge(descNodes, t.Stalled, "stalled")
	gauge(descNodes, t.NotReady, "not_ready")
	gauge(descSlots, t.SecondaryIPs, "secondary_ip")
	gauge(descSlots, t.Prefixes, "prefix")
	gauge(descSlots, t.Slots-t.SecondaryIPs-t.Prefixes, "empty")
	gauge(descAddresses, t.InUse, "in_use")
	gauge(descAddresses, t.Free, "free")
	gauge(descAddresses, t.Cooling, "cooling")
	gauge(descWaiting, t.Waiting)
	gauge(descRemaining, t.Remaining)
	gauge(descUsable, t.Usable)
	if source != nil {
		gauge(descAdvert, t.Advertised)
	}
	for _, r := range t.Rooms {
		gauge(descRoom, r.Blocks, r.Subnet, r.Kind)
	}
}

func number(truth bool) int {
	if truth {
		return 1
	}
	return 0
}
