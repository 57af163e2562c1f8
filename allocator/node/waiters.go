package node

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/pods"
)

// waiters are the binds that wait for an address.
type waiters struct {
	ledger *ledger.Ledger
	pods   pods.Group
	binds  map[types.UID]waiter
}

type waiter struct {
	answer chan outcome // takes one; nobody waits to send it
	since  time.Time
}

// outcome is an address, or why there is none.
type outcome struct {
	grant ledger.Grant
	err   error
}

func newWaiters(l *ledger.Ledger, group pods.Group) waiters {
	return waiters{ledger: l, pods: group, binds: map[types.UID]waiter{}}
}

// add notes a bind that waits. One that waited for the same pod is overtaken.
func (w *waiters) add(pod types.UID, now time.Time) <-chan outcome {
	w.answer(pod, outcome{err: pods.ErrOvertaken})
	x := waiter{make(chan outcome, 1), now}
	w.binds[pod] = x
	return x.answer
}

// answer tells the bind of a pod what has come of it. It answers false where none waits.
func (w *waiters) answer(pod types.UID, o outcome) bool {
	x, waits := w.binds[pod]
	if waits {
		delete(w.binds, pod)
		x.answer <- o
	}
	return waits
}

// dismiss turns a bind away.
func (w *waiters) dismiss(pod types.UID, why error, now time.Time) {
	w.pods.EndAttempt(pod)
	w.ledger.Cancel(pod, now)
	w.answer(pod, outcome{err: why})
}

// dismissAll turns away the binds that wait for an address that will not come.
func (w *waiters) dismissAll(why error, now time.Time) {
	for pod := range w.binds {
		w.dismiss(pod, why, now)
	}
}

// last is the pod whose bind has waited for the shortest time.
func (w *waiters) last() (pod types.UID, ok bool) {
	var since time.Time
	for uid, x := range w.binds {
		if !ok || x.since.After(since) {
			pod, since, ok = uid, x.since, true
		}
	}
	return pod, ok
}
