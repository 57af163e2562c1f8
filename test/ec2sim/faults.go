package ec2sim

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// FaultKind is the way in which a call goes wrong.
type FaultKind string

const (
	// Refuse answers Code, and nothing was done.
	Refuse FaultKind = "refuse"
	// RefuseDone answers Code although it was done.
	RefuseDone FaultKind = "refuse-done"
	// DropBefore drops the connection, and nothing was done.
	DropBefore FaultKind = "drop-before"
	// DropAfter drops the connection although it was done.
	DropAfter FaultKind = "drop-after"
	// DelayBefore takes Delay longer, before it is done: a client that has given
	// up and looks will see it done only later.
	DelayBefore FaultKind = "delay-before"
	// DelayAfter is done in time, and the answer takes Delay longer.
	DelayAfter FaultKind = "delay-after"
	// Throttle answers RequestLimitExceeded at once.
	Throttle FaultKind = "throttle"
)

// Fault is a rule by which calls go wrong. Of the rules that match a call every
// delay is added up, and of the others the oldest one counts.
type Fault struct {
	Kind FaultKind

	// Action strikes this action only; empty is any.
	Action string
	// ENI and Subnet strike only what is assigned to or unassigned from this
	// interface, or the interfaces of this subnet; empty is any call.
	ENI, Subnet string
	// Skip lets as many matching calls pass first.
	Skip int
	// Times is how many calls it strikes; 0 is all until it is removed.
	Times int
	// Probability of a strike; 0 is always.
	Probability float64

	// Code of Refuse and RefuseDone; left out, InternalError.
	Code string
	// Delay of DelayBefore and DelayAfter; left out, 30 s.
	Delay time.Duration
}

type injected struct {
	Fault
	matched, struck int
}

// subject is what a call is about, for the faults to match.
type subject struct{ action, eni, subnet string }

// fate is what the faults make of one call.
type fate struct {
	kind          FaultKind // empty: it goes well
	code          string
	before, after time.Duration
}

// Inject adds a fault. The function that it returns removes it.
func (s *Server) Inject(f Fault) (remove func()) {
	rule := &injected{Fault: f}
	b := s.behaviour
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, rule)
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.faults = slices.DeleteFunc(b.faults, func(r *injected) bool { return r == rule })
	})
}

// decide says how a call fares, and counts the strikes.
func (b *behaviour) decide(about subject) fate {
	b.mu.Lock()
	defer b.mu.Unlock()
	var f fate
	for _, rule := range b.faults {
		delays := rule.Kind == DelayBefore || rule.Kind == DelayAfter
		if !delays && f.kind != "" || !rule.matches(about) || !b.strikes(rule) {
			continue
		}
		switch delay := cmp.Or(rule.Delay, 30*time.Second); rule.Kind {
		case DelayBefore:
			f.before += delay
		case DelayAfter:
			f.after += delay
		default:
			f.kind, f.code = rule.Kind, cmp.Or(rule.Code, "InternalError")
		}
	}
	return f
}

func (f Fault) matches(about subject) bool {
	return (f.Action == "" || f.Action == about.action) &&
		(f.ENI == "" || f.ENI == about.eni) &&
		(f.Subnet == "" || f.Subnet == about.subnet)
}

func (b *behaviour) strikes(rule *injected) bool {
	rule.matched++
	if rule.matched <= rule.Skip || rule.Times > 0 && rule.struck >= rule.Times {
		return false
	}
	if rule.Probability > 0 && b.random.Float64() >= rule.Probability {
		return false
	}
	rule.struck++
	return true
}
