// Package scheduler plays kube-schedulers in the simulation, as rude as the real one is. It
// models Kubernetes 1.37.2 with its default features; where a rule comes from, the file in
// k8s.io/kubernetes/pkg/scheduler is named beside it, and the function in it.
//
// A Scheduler is one life of a process: watches fill its memory (a cache with assumed pods,
// the queue, nominations), one goroutine tries one pod after the other on a snapshot, and
// binds and evictions run beside it, many at a time. All that waits has a due time; an idle
// scheduler costs nothing.
//
// It asks the extender by an Extender: an HTTPExtender sends what kube-scheduler sends to
// the real handler, over connections that a Dialer opens: a Service leads them to the
// replica that had the leader's label when it was last told.
//
// Locks: memory.mu guards all that the scheduler believes; nothing waits, and nobody else is
// called, with it held. HTTPExtender.mu and Service.mu stand alone.
//
// What it leaves out:
//
//   - Plugins but those that matter to pods which ask for addresses: there are no ports,
//     volumes, topology, affinity between pods, images, and no preferences. Of the scores
//     there is NodeResourcesFit's LeastAllocated.
//   - Nodes are listed in the order in which they came, and not zone by zone; they are
//     looked at one after the other, and not sixteen at a time.
//   - Pod groups, scheduling gates, resizing in place, and opportunistic batching, which
//     serves pods that want a node to themselves.
//   - A disruption budget is a function that says whom it protects; nothing of it is ever
//     left.
//   - A watch that was cut, and begins anew with another pod under a name, shows that the
//     first has gone; kube-scheduler would take it for an update.
package scheduler
