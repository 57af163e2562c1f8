// Package fit says whether a pod fits on a node, as kube-scheduler and kubelet do. Both
// go by the same code: NodeResourcesFit (pkg/scheduler/framework/plugins/noderesources/fit.go
// fitsRequest), which the kubelet calls when it admits a pod
// (pkg/scheduler/eventhandlers.go AdmissionCheck). What differs is what they know.
//
// It models Kubernetes 1.37.2, is pure, and shares no code with Slotwise.
package fit
