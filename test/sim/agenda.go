package sim

import (
	"slices"
	"time"
)

// agenda is what is still to come of steps that were made: the end of what lasts, above
// all. It belongs to the goroutine that makes the steps.
type agenda struct{ entries []entry }

type entry struct {
	at time.Time
	do func()
}

// later has something be done in a while; at the end of the trouble at the latest.
func (s *system) later(d time.Duration, do func()) {
	e := entry{time.Now().Add(d), do}
	at, _ := slices.BinarySearchFunc(s.agenda.entries, e, func(a, b entry) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return -1 // behind those of the same time
	})
	s.agenda.entries = slices.Insert(s.agenda.entries, at, e)
}

// until does what is due until a time, and is there then.
func (s *system) until(t time.Time) {
	for len(s.agenda.entries) > 0 && !s.agenda.entries[0].at.After(t) {
		e := s.agenda.entries[0]
		s.agenda.entries = s.agenda.entries[1:]
		time.Sleep(time.Until(e.at))
		e.do()
	}
	time.Sleep(time.Until(t))
}

// undoAll does at once what is left.
func (s *system) undoAll() {
	for len(s.agenda.entries) > 0 {
		e := s.agenda.entries[0]
		s.agenda.entries = s.agenda.entries[1:]
		e.do()
	}
}
