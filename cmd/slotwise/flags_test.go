package main

import "testing"

// TestConfigMapName: Slotwise reads one ConfigMap beside that of AWS's managed
// controller, and tells them apart by their namespaces.
func TestConfigMapName(t *testing.T) {
	for configMap, want := range map[string]bool{
		"kube-system/amazon-vpc-cni": true,
		"slotwise-system/slotwise":   true,
		"kube-system/slotwise":       false,
		"amazon-vpc-cni":             false,
		"/amazon-vpc-cni":            false,
		"kube-system/":               false,
		"a/b/c":                      false,
		"":                           false,
	} {
		c := flags{configMap: configMap}
		got, err := c.configMapName()
		if ok := err == nil && got.String() == configMap; ok != want {
			t.Errorf("--config-map %q: %s, %v; want it taken: %t", configMap, got, err, want)
		}
	}
}
