package node

import (
	"time"

	"slotwise.dev/slotwise/allocator/ledger"
)

// retryAfter is how long the worker waits before it looks again whether it may act.
const retryAfter = time.Second

// situation is what a worker decides from.
type situation struct {
	now     time.Time
	lookAt  time.Time   // when the interface is to be described next
	mayAct  bool        // addresses may be given, and EC2 be asked for changes
	trusted bool        // the interface is as the ledger has it, as far as is known
	call    ledger.Call // that the ledger would make
	planned bool        // there is one
	stalled time.Time   // the end of the pause of what the call does
	settled time.Time   // when the pool may be tended to
	short   bool        // the node would take blocks that the subnet has not
}

// step is what a worker does next.
type step struct {
	look  bool        // describe the interface
	call  ledger.Call // else make this call, where it is one
	makes bool
	idle  bool      // else the pool is as it should be,
	short bool      // or as the subnet lets it
	next  time.Time // when to come back unless something happens before
}

// decide says what to do: look where it is time to, make the call that is planned unless
// it has to wait, or wait.
func decide(s situation) step {
	if !s.now.Before(s.lookAt) {
		return step{look: true, next: s.now.Add(retryAfter)}
	}
	if !s.mayAct || !s.trusted {
		return step{next: earlier(s.lookAt, s.now.Add(retryAfter))}
	}
	if !s.planned {
		return step{idle: true, short: s.short, next: s.lookAt}
	}
	due := s.stalled
	if s.call.Purpose > ledger.Waiting && s.settled.After(due) {
		due = s.settled
	}
	if s.now.Before(due) {
		return step{next: earlier(due, s.lookAt)}
	}
	return step{call: s.call, makes: true, next: s.now}
}
