// Package budget is what the nodes of one subnet share: the map of the subnet, what of
// it is claimed, and what EC2 has refused. It knows no node.
//
// A block is claimed when a pod is promised an address that EC2 has yet to give, so that
// two nodes never promise the same block. Available needs no lock, so that a filter of
// thousands of nodes can ask; whoever changes a budget may hold a lock of its own
// meanwhile, for no operation calls anybody. Who is to be told of changes is told by
// Notify, which is called once that lock is released.
//
// Subnets describes every subnet again and again, one that lacks something more often.
// Its lock and that of a Budget are never held together, nor over a call.
package budget
