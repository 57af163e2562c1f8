package main

import "testing"

// TestMetricsOptions: nothing is served in the clear beyond loopback.
func TestMetricsOptions(t *testing.T) {
	for address, open := range map[string]bool{
		"localhost:8443": true, "127.0.0.1:8443": true, "[::1]:8443": true, "0": true,
		":8443": false, "0.0.0.0:8443": false, "[::]:8443": false, "10.0.0.1:8443": false, "slotwise.example:8443": false, "8443": false,
	} {
		o := metricsOptions(address, nil)
		if o.SecureServing == open || (o.FilterProvider == nil) != open {
			t.Errorf("%s: over TLS: %t, guarded: %t; want in the clear: %t", address, o.SecureServing, o.FilterProvider != nil, open)
		}
	}
}
