package extender

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"slotwise.dev/slotwise/allocator/capacity"
)

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry)
	options := testOptions(t)
	options.Observe, options.Refused = m.Observe, m.Refused
	options.Rooms = fakeRooms{"full": {Reason: capacity.Full}}
	handler := newHandler(options)
	body := marshal(t, extenderv1.ExtenderArgs{Pod: podAsking("1"), NodeNames: &[]string{"full", "nobody", "no other"}})
	postRaw(handler, VerbFilter, body)
	postRaw(handler, VerbFilter, body)
	postRaw(handler, VerbBind, `{}`)

	got := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			series := []string{family.GetName()}
			for _, label := range metric.GetLabel() {
				series = append(series, label.GetValue())
			}
			got[strings.Join(series, " ")] = metric.GetCounter().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	want := map[string]float64{
		"slotwise_extender_nodes_refused_total full":                  2,
		"slotwise_extender_nodes_refused_total unknown":               4,
		"slotwise_extender_request_duration_seconds ok filter":        2,
		"slotwise_extender_request_duration_seconds bad_request bind": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics differ (-want +got):\n%s", diff)
	}
}
