// Package ledger is the book of one ENI's address slots: what each slot holds, which
// pod holds which address, what cools down, and which EC2 call is in flight.
//
// It is pure: it reads no clock, makes no call, logs nothing and starts no goroutine.
// Time comes in as an argument, decisions go out as values (Call, Grant, Drift), and the
// allocator carries them out. A Ledger is not safe for concurrent use; its owner holds a
// lock around it.
//
// One book knows both kinds of slot, so capacity stays true while an ENI changes from
// secondary IPs to prefixes and back.
//
// # Parts
//
// A Ledger is built from parts, each with its own file. A part knows only those below it:
//
//	Ledger         what the ENI can still take, which EC2 call to make next (counts.go,
//	               plan.go), and what EC2 has answered or shown (ledger.go, sync.go)
//	  usage        gives addresses to pods and takes them back
//	    eni        the blocks on the network interface
//	    pods       who holds an address, and who waits for one
//	    cooldowns  when something has cooled down, and what cools off the ENI
//	  calls        the EC2 call in flight, or the one whose answer was lost
package ledger
