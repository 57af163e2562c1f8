package main

import (
	"crypto/tls"
	"net"
	"net/netip"

	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"slotwise.dev/slotwise/allocator/metrics/access"
)

// metricsOptions say how metrics are served. Beyond loopback they go over TLS,
// and to nobody whom the API server does not vouch for.
func metricsOptions(address string, serving func(*tls.Config)) metricsserver.Options {
	o := metricsserver.Options{BindAddress: address}
	if address == nowhere || onLoopback(address) {
		return o
	}
	o.SecureServing = true
	o.TLSOpts = []func(*tls.Config){serving}
	o.FilterProvider = access.Filter
	return o
}

// onLoopback says that nobody but this machine reaches an address.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
