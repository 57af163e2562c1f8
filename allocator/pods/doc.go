// Package pods follows the bound pods of the cluster and keeps the one index of them:
// on which node each is, in which state, and with which address.
//
// A pod is binding while the extender binds it: it has one attempt or more, each on a
// node. It is bound once the watch has shown it on a node; that never changes for a UID.
// It has ended once the API server has said so; its address is remembered for the
// cooldown, as EC2 may by then have given it to another network interface.
//
// Whoever keeps a ledger is a Home: the index names homes, and knows nothing of them.
// A home calls the index with its own lock held; the index calls nobody with its lock
// held. Memory grows with Windows pods and not with all pods.
package pods
