package kubelet

import "time"

// The CNI plugin of Windows asks the API server for the pod's address every 100 ms, for
// 2 s; then the sandbox fails, and the kubelet tries again at the next sync of the pod
// (amazon-vpc-cni-plugins; pod_workers.go backOffPeriod).
const (
	pollPeriod    = 100 * time.Millisecond
	pollTime      = 2 * time.Second
	backOffPeriod = 10 * time.Second
)

// nextTry is how long after the address came the plugin finds it, for a pod that had waited
// so long for it: at its next look, or at the first look of the next sandbox.
func nextTry(waited time.Duration) time.Duration {
	within := waited % (pollTime + backOffPeriod)
	if within > pollTime {
		return pollTime + backOffPeriod - within
	}
	return (pollPeriod - within%pollPeriod) % pollPeriod
}
