package metrics

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// source is one whose totals are these.
type source Totals

func (s source) Totals() Totals { return Totals(s) }

// series are the values of all series by name and labels; of a histogram its sum.
func series(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			words := []string{family.GetName()}
			for _, label := range metric.GetLabel() {
				words = append(words, label.GetName()+"="+label.GetValue())
			}
			all[strings.Join(words, " ")] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + metric.GetHistogram().GetSampleSum()
		}
	}
	return all
}

func TestCounters(t *testing.T) {
	r := prometheus.NewRegistry()
	m := New(r)
	before := series(t, r)
	m.Call("AssignPrivateIpAddresses", "", 2*time.Second)
	m.Call("AssignPrivateIpAddresses", "Throttled", time.Second)
	m.Waited(1500 * time.Millisecond)
	m.Duplicate()
	for range 2 {
		m.Drift()
	}
	for range 3 {
		m.Lost()
	}
	got := series(t, r)
	for name, value := range before {
		if got[name] == value {
			delete(got, name)
		}
	}
	want := map[string]float64{
		"slotwise_ec2_calls_total action=AssignPrivateIpAddresses code=":          1,
		"slotwise_ec2_calls_total action=AssignPrivateIpAddresses code=Throttled": 1,
		"slotwise_ec2_call_duration_seconds action=AssignPrivateIpAddresses":      3,
		"slotwise_bind_address_wait_seconds":                                      1.5,
		"slotwise_addresses_duplicated_total":                                     1,
		"slotwise_ledger_corrected_total":                                         2,
		"slotwise_addresses_lost_total":                                           3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("series differ (-want +got):\n%s", diff)
	}
}

// Each figure is shown where it belongs; what a replica cannot know it does not show.
func TestTotals(t *testing.T) {
	zeros := map[string]float64{
		"slotwise_leader":                   0,
		"slotwise_nodes state=ready":        0,
		"slotwise_nodes state=stalled":      0,
		"slotwise_nodes state=not_ready":    0,
		"slotwise_slots holds=secondary_ip": 0,
		"slotwise_slots holds=prefix":       0,
		"slotwise_slots holds=empty":        0,
		"slotwise_addresses state=in_use":   0,
		"slotwise_addresses state=free":     0,
		"slotwise_addresses state=cooling":  0,
		"slotwise_pods_waiting":             0,
		"slotwise_addresses_remaining":      0,
		"slotwise_addresses_usable":         0,
	}
	for name, c := range map[string]struct {
		source Source             // nil: none yet
		want   map[string]float64 // beside zeros
	}{
		"there is no allocator yet": {},
		"it follows": {
			source: source{Enabled: true},
			want:   map[string]float64{"slotwise_addresses_advertised": 0},
		},
		"it leads, and is off": {
			source: source{Leading: true},
			want:   map[string]float64{"slotwise_leader": 1, "slotwise_enabled": 0, "slotwise_addresses_advertised": 0},
		},
		"it leads": {
			source: source{
				Leading: true, Enabled: true,
				Ready: 1, Stalled: 2, NotReady: 3,
				Slots: 40, SecondaryIPs: 4, Prefixes: 5,
				InUse: 6, Free: 7, Cooling: 8, Waiting: 9, Remaining: 10, Usable: 11, Advertised: 12,
				Rooms: []Room{{"subnet-1", "prefix", 13}, {"subnet-1", "secondary-ip", 14}},
			},
			want: map[string]float64{
				"slotwise_leader":                                        1,
				"slotwise_enabled":                                       1,
				"slotwise_nodes state=ready":                             1,
				"slotwise_nodes state=stalled":                           2,
				"slotwise_nodes state=not_ready":                         3,
				"slotwise_slots holds=secondary_ip":                      4,
				"slotwise_slots holds=prefix":                            5,
				"slotwise_slots holds=empty":                             31,
				"slotwise_addresses state=in_use":                        6,
				"slotwise_addresses state=free":                          7,
				"slotwise_addresses state=cooling":                       8,
				"slotwise_pods_waiting":                                  9,
				"slotwise_addresses_remaining":                           10,
				"slotwise_addresses_usable":                              11,
				"slotwise_addresses_advertised":                          12,
				"slotwise_subnet_room kind=prefix subnet=subnet-1":       13,
				"slotwise_subnet_room kind=secondary-ip subnet=subnet-1": 14,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, r := New(prometheus.NewRegistry()), prometheus.NewPedanticRegistry()
			r.MustRegister(m.totals) // without the counters
			if c.source != nil {
				m.Attach(c.source)
			}
			want := maps.Clone(zeros)
			maps.Copy(want, c.want)
			if diff := cmp.Diff(want, series(t, r)); diff != "" {
				t.Errorf("series differ (-want +got):\n%s", diff)
			}
		})
	}
}
