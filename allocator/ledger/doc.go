// Package ledger is the book of one ENI's address slots: what each slot holds,
// which pod holds which address, what cools, and which EC2 call is in flight.
//
// It is pure: it reads no clock, makes no call, logs nothing and starts no
// goroutine. Time comes in as an argument, decisions go out as values (Call,
// Grant, Drift), and the allocator carries them out. A Ledger is not safe for
// concurrent use; its owner holds a lock around it.
//
// One book knows both kinds of slot, so capacity stays true while an ENI
// changes from secondary IPs to prefixes and back.
package ledger
