// Package extender is the HTTP side of the scheduler extender: the verbs
// filter, prioritize, bind and preempt of k8s.io/kube-scheduler/extender/v1. It
// turns requests into questions to the allocator and its answers into JSON, and
// decides nothing itself: what a node can give, and who gets it, is the
// allocator's to say, behind [Rooms], [Binder] and [Evictions].
//
// kube-scheduler is the only client in mind, and filter and prioritize stand in
// its scheduling cycle, where pods pass one at a time. So these two walk the
// request in place, and copy a node's name from the request into the answer as
// the very bytes that came: no string is made for a name, and no name can
// appear that was not asked about.
//
// # What is accepted
//
// POST with a JSON object as encoding/json writes it for the extender/v1 types.
// Member names match exactly, letter case included; unknown members are
// ignored; a member that appears twice, text after the object, and text that is
// not UTF-8 are refused. Of the pod only metadata.uid, spec.hostNetwork and the
// requests of its containers are looked at; limits are not, as the API server
// has made requests of them.
//
// Nodes must come as names: nodeCacheCapable has to be true in the scheduler's
// configuration. A request with whole Node objects is refused and not served,
// because kube-scheduler would replace the nodes it knows by those that come
// back, without the pods that run on them, and score every node as empty.
//
// # What is answered
//
// Refusals that concern a node stand in FailedAndUnresolvableNodes, with one of a
// few constant texts (see [capacity.Reason]). A request that cannot be answered gets
// status 200 with Error where the verb's result has that member (filter, bind),
// since kube-scheduler drops the body of any other status. prioritize and
// preempt have none, so there the status says it (400, 413, 503), and the same
// Error is in the body for a person to read.
package extender
