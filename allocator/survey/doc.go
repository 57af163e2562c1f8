// Package survey is a cluster as a person wants to see it: its Windows nodes with their
// slots, addresses and pods, its subnets, what AWS's formula promises, and what is truly
// there. It only reads, and needs neither Slotwise in the cluster nor AWS's controller
// out of it.
//
// Reading and reckoning are apart. Objects and Shown are what Kubernetes and EC2 said;
// Take makes a Cluster of them, and is pure. Read reads both once, Watch goes on. What
// the commands print or draw of a Cluster is theirs: see the packages below this one.
//
// No figure is reckoned here that the allocator reckons too: each node gets a
// ledger.Ledger, filled as in mode observe, and its counts are the ledger's.
package survey
