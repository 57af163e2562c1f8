// Package node keeps one EC2 instance: the ledger of its network interface and the binds
// that wait for an address, under one mutex; and its worker, which alone changes the
// interface, one EC2 call at a time.
//
// Everything that changes a node goes through update: it changes the ledger, gives what
// is free to pods that wait, turns away binds that can no longer be served, claims
// blocks of the subnet for what is to come, and publishes what the node can do. What has
// to be told to others is collected meanwhile and told once the lock is free.
//
// The mutex of a node is taken before those of the index of pods, of a budget and of
// the arrivals, never after; it is never held over a callback, a channel that can block,
// or I/O. What needs no lock is published in values that are replaced as a whole.
package node
