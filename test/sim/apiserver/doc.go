// Package apiserver is the API server of Kubernetes as it behaves, in one process and
// without HTTP and JSON: one sequence of resource versions, conflicts, preconditions,
// bindings, deletion in two steps, watches that lag and are cut, stale lists, and
// answers that are lost. It holds pods, nodes, NodeSlots, leases, ConfigMaps and
// Deployments as typed objects, and records events.
//
// There are two ways in. A Table reads and changes objects exactly and at once: it is for
// the parts of the simulation that are never wrong, and for the judge. A Client asks over a
// Link, which takes time and loses things; what a Link does is set by Conditions.
//
// All objects that come out are shared, and must not be changed: take a DeepCopy first.
// Nothing here waits with a lock held, so that all of it runs in a testing/synctest
// bubble; an idle server has no timers.
//
// Rules that are copied from Kubernetes name their file, in k8s.io/kubernetes v1.37.2
// or its staging modules.
package apiserver
