package scheduler

import "time"

// alarm calls ring once at the earliest time that it was set to. Guarded by memory.mu,
// which ring takes.
type alarm struct {
	ring  func()
	timer *time.Timer
	due   time.Time // zero: it is not set
	over  bool
}

func (a *alarm) set(due time.Time) {
	if a.over || !a.due.IsZero() && !due.Before(a.due) {
		return
	}
	a.due = due
	if a.timer == nil {
		a.timer = time.AfterFunc(time.Until(due), a.ring)
		return
	}
	a.timer.Reset(time.Until(due))
}

// rung is to be called by ring.
func (a *alarm) rung() { a.due = time.Time{} }

func (a *alarm) stop() {
	a.over = true
	if a.timer != nil {
		a.timer.Stop()
	}
}
