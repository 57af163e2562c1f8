package sim

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/history"
	"slotwise.dev/slotwise/test/witness"
)

const (
	// healing is how long everything may take to come to rest after trouble: a cooldown,
	// the longest pause after a shortage in a subnet (2 min), and at worst the describe of
	// what nobody doubts (5 min).
	healing = 6 * time.Minute
	// resting is how long it may take after something was done while all was at rest: as
	// long as a pod takes to stop, a cooldown of 30 s, the scheduler's longest back-off of
	// 10 s, a change of leader by a lease of 15 s. It is less than the 5 min after which
	// kube-scheduler tries every pod again by itself: who waits has to be woken.
	resting = 100 * time.Second
	// look is between two looks.
	look = 2 * time.Second
	// idle is how long nothing may be changed in EC2 once all pods have gone.
	idle = time.Minute
)

// heal undoes everything that lasts, and has users want what can be judged.
func (s *system) heal(end func()) {
	end()
	s.undoAll()
	s.effects.Wait()
	s.undoAll()
	s.sweep()
	s.endJobs()
	x := s.settings
	x.Off, x.Junk = false, ""
	s.configure(x)
	s.restartSchedulers()
	s.note(witness.Note{Text: "no more trouble; everything comes to rest"})
}

// conclude has everything come to rest, and makes the steps of the ending one by one.
func (s *system) conclude(ctx context.Context) (lost []witness.Violation) {
	if lost = s.rest(healing); len(lost) > 0 {
		return lost
	}
	for _, step := range s.h.Ending {
		s.tell("at rest: %s", step)
		s.make(step)
		s.effects.Wait()
		s.undoAll()
		if lost = s.rest(resting + s.slack(step)); len(lost) > 0 {
			return lost
		}
	}
	from := time.Now()
	s.sleep(ctx, idle)
	return s.judge.ChangesAtRest(from, time.Now())
}

// slack is how much longer it takes to come to rest after some steps: pods come one after
// the other, and what a leader that crashed had in mind is found out by the next one.
func (s *system) slack(step history.Step) time.Duration {
	switch step.Act {
	case history.Crash, history.Set:
		return time.Minute
	case history.Create:
		return time.Duration(step.Count) * 100 * time.Millisecond
	default:
		return 0
	}
}

// rest waits until nothing is lost, and returns what is after a while.
func (s *system) rest(within time.Duration) (lost []witness.Violation) {
	for end := time.Now().Add(within); ; s.sleep(s.ctx, look) {
		s.collectOrphans()
		lost = append(s.judge.AtRest(s.wanted()), s.unregistered()...)
		if len(lost) == 0 {
			s.tell("at rest")
			return nil
		}
		if !time.Now().Before(end) {
			return lost
		}
	}
}

// unregistered are the machines that have no Node yet: until they do, nobody can tell
// whether they are at rest.
func (s *system) unregistered() (lost []witness.Violation) {
	for name, m := range s.machines {
		if _, there := s.server.Nodes().Get(types.NamespacedName{Name: name}); !there {
			lost = append(lost, witness.Violation{Kind: witness.SlotLost, ENI: m.eni, At: time.Now(), Text: name + " has no Node"})
		}
	}
	return lost
}

// wanted are the settings as the judge knows them.
func (s *system) wanted() witness.Settings {
	x := s.settings
	return witness.Settings{Prefixes: x.Prefixes, WarmPrefix: x.WarmPrefix, WarmIP: x.WarmIP, MinimumIP: x.MinimumIP}
}
