package allocator

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"slotwise.dev/slotwise/allocator/cloud"
)

// lookInterval is between describes of a subnet that lacks nothing, but for mode
// observe. Other hands take and give addresses there too.
const lookInterval = time.Minute

// subnets keeps the budget of every subnet in use.
type subnets struct {
	a     *Allocator
	group singleflight.Group
	due   chan struct{}

	mu      sync.Mutex
	budgets map[string]*budget
	looked  map[string]time.Time
}

func newSubnets(a *Allocator) *subnets {
	return &subnets{a: a, due: make(chan struct{}, 1), budgets: map[string]*budget{}, looked: map[string]time.Time{}}
}

// budget finds the budget of a subnet, which the first caller has described.
func (s *subnets) budget(ctx context.Context, id string) (*budget, error) {
	s.mu.Lock()
	b := s.budgets[id]
	s.mu.Unlock()
	if b != nil {
		return b, nil
	}
	v, err, _ := s.group.Do(id, func() (any, error) {
		shown, err := s.a.cloud.Subnet(ctx, id)
		if err != nil {
			return nil, err
		}
		b := newBudget(shown, func(grown bool) { s.a.roomChanged(id, grown) })
		s.mu.Lock()
		defer s.mu.Unlock()
		s.budgets[id], s.looked[id] = b, time.Now()
		return b, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*budget), nil
}

// run describes the subnets again and again, those with a shortage more often.
func (s *subnets) run(ctx context.Context) {
	timer := time.NewTimer(lookInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.due:
		case <-timer.C:
		}
		next := s.nextRound(time.Now())
		for _, b := range s.all() {
			if at := s.nextLook(b); time.Now().Before(at) {
				next = earlier(next, at)
				continue
			}
			s.look(ctx, b)
			next = earlier(next, s.nextLook(b))
		}
		timer.Reset(time.Until(next))
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (s *subnets) all() []*budget {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*budget, 0, len(s.budgets))
	for _, b := range s.budgets {
		all = append(all, b)
	}
	return all
}

// nextLook is when to look at a subnet next. A look that fails ends no shortage, so
// even the look that one asks for keeps its distance from the last.
func (s *subnets) nextLook(b *budget) time.Time {
	s.mu.Lock()
	last := s.looked[b.id]
	s.mu.Unlock()
	interval := s.nextRound(last).Sub(last)
	return later(b.nextLook(last, interval), last.Add(min(interval, firstPause)))
}

// look describes a subnet and corrects its budget. Several who look at a time
// share one look.
func (s *subnets) look(ctx context.Context, b *budget) {
	_, _, _ = s.group.Do("look at "+b.id, func() (any, error) {
		s.describe(ctx, b)
		return nil, nil
	})
}

func (s *subnets) describe(ctx context.Context, b *budget) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	shown, err := s.a.cloud.Subnet(ctx, b.id)
	s.mu.Lock()
	s.looked[b.id] = time.Now()
	s.mu.Unlock()
	if err != nil {
		s.a.log.Info("cannot describe the subnet", "subnet", b.id, "error", err.Error(), "class", cloud.Classify(err).String())
		return
	}
	if hidden := b.install(shown); hidden > 0 {
		s.a.log.Info("addresses of the subnet are in use that EC2 does not show, as in one that is shared with other accounts; they count as used",
			"subnet", b.id, "addresses", hidden)
	}
	for _, n := range s.a.everyNode() {
		if s.a.observing() {
			n.seen(b, shown)
		} else {
			n.compare(b, shown)
		}
	}
}

// lookAtSubnet has a subnet described soon: at once the first time, then after
// the pauses of its shortage.
func (a *Allocator) lookAtSubnet(b *budget) {
	a.subnets.mu.Lock()
	a.subnets.looked[b.id] = time.Time{}
	a.subnets.mu.Unlock()
	a.subnets.wake()
}

// wake has run reckon anew when each subnet is to be looked at.
func (s *subnets) wake() {
	select {
	case s.due <- struct{}{}:
	default:
	}
}

// roomChanged lets the nodes of a subnet feel that its room has changed: their
// capacity has, and what they could not get may be there now.
func (a *Allocator) roomChanged(id string, grown bool) {
	for _, n := range a.everyNode() {
		if s := n.summary.Load(); s.ready && n.budget.id == id {
			a.advertise(n.name(), grown)
			a.record(n) // NodeSlots shows what remains, too
			n.poke()
		}
	}
}
