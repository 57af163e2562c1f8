package node

import (
	"maps"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
)

func TestConditions(t *testing.T) {
	const ready, converged, exhausted, limited = v1alpha1.ConditionReady, v1alpha1.ConditionConverged,
		v1alpha1.ConditionSubnetExhausted, v1alpha1.ConditionMaxPodsLimited
	for name, c := range map[string]struct {
		status           v1alpha1.NodeSlotsStatus
		gives, exhausted bool
		want             []string // that are true
	}{
		"off, nothing assigned":                    {v1alpha1.NodeSlotsStatus{Mode: "prefix"}, false, false, []string{converged}},
		"prefixes alone":                           {v1alpha1.NodeSlotsStatus{Mode: "prefix", Prefixes: 2}, true, false, []string{ready, converged}},
		"secondary IPs from before":                {v1alpha1.NodeSlotsStatus{Mode: "prefix", Prefixes: 2, SecondaryIPs: 1}, true, false, []string{ready}},
		"secondary IPs alone":                      {v1alpha1.NodeSlotsStatus{Mode: "secondary-ip", SecondaryIPs: 2}, true, false, []string{ready, converged}},
		"prefixes from before":                     {v1alpha1.NodeSlotsStatus{Mode: "secondary-ip", Prefixes: 1}, true, false, []string{ready}},
		"the subnet has nothing":                   {v1alpha1.NodeSlotsStatus{Mode: "prefix"}, true, true, []string{ready, converged, exhausted}},
		"more addresses than the kubelet has pods": {v1alpha1.NodeSlotsStatus{Mode: "prefix", Remaining: 10, Usable: 9}, true, false, []string{ready, converged, limited}},
	} {
		t.Run(name, func(t *testing.T) {
			is, want := map[string]bool{}, map[string]bool{ready: false, converged: false, exhausted: false, limited: false}
			for _, x := range conditions(c.status, c.gives, c.exhausted) {
				is[x.Type] = x.Status == metav1.ConditionTrue
				if x.Reason == "" || x.Message == "" {
					t.Errorf("%s says nothing: %+v", x.Type, x)
				}
			}
			for _, of := range c.want {
				want[of] = true
			}
			if !maps.Equal(is, want) {
				t.Errorf("conditions are %v, want %v", is, want)
			}
		})
	}
}
