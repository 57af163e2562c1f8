package budget

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/singleflight"

	"slotwise.dev/slotwise/allocator/cloud"
)

// describeTimeout bounds one describe of a subnet.
const describeTimeout = time.Minute

// Describer shows what EC2 has in a subnet; cloud.Client does.
type Describer interface {
	Subnet(ctx context.Context, id string) (cloud.Subnet, error)
}

// Listener is told of what happens to subnets. No lock of this package is held meanwhile.
type Listener interface {
	// RoomChanged takes in that less than NotifyBelow blocks of a kind are available in a
	// subnet, or were, and that this has changed; grew says that there have come to be
	// more of a kind since the last time. See Budget.Notify.
	RoomChanged(subnet string, grew bool)
	// Described takes in the whole subnet as EC2 has shown it; the budget has it already.
	Described(b *Budget, shown cloud.Subnet)
}

// Options are what Subnets work with. All are required; the zero Log logs nothing.
type Options struct {
	Describer Describer
	Listener  Listener
	// Next is when a subnet is to be described again that lacks nothing and was described
	// last at the given time.
	Next func(last time.Time) time.Time
	Log  logr.Logger
}

// Subnets keeps the budget of every subnet in use. It is safe for concurrent use.
type Subnets struct {
	options Options
	group   singleflight.Group // of describes
	woken   chan struct{}      // takes one; see Wake

	mu      sync.Mutex
	subnets map[string]*entry
}

// entry is one subnet; the lock of Subnets guards it.
type entry struct {
	budget *Budget
	last   time.Time // when it was described last
	asked  time.Time // when a look was asked for that has not begun yet: it is due since then; zero: none was
}

// NewSubnets makes Subnets that know none yet. See Run.
func NewSubnets(o Options) *Subnets {
	return &Subnets{options: o, woken: make(chan struct{}, 1), subnets: map[string]*entry{}}
}

// Budget finds the budget of a subnet, which the first caller has described. Errors are
// those of the Describer.
func (s *Subnets) Budget(ctx context.Context, id string) (*Budget, error) {
	if b := s.find(id); b != nil {
		return b, nil
	}
	v, err, _ := s.group.Do("budget of "+id, func() (any, error) { return s.open(ctx, id) })
	if err != nil {
		return nil, err
	}
	return v.(*Budget), nil
}

// find is the budget of a subnet, nil where there is none yet.
func (s *Subnets) find(id string) *Budget {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.subnets[id]; e != nil {
		return e.budget
	}
	return nil
}

// open makes the budget of a subnet, unless another caller was quicker: two budgets would
// promise the same blocks.
func (s *Subnets) open(ctx context.Context, id string) (*Budget, error) {
	if b := s.find(id); b != nil {
		return b, nil
	}
	shown, err := s.options.Describer.Subnet(ctx, id)
	if err != nil {
		return nil, err
	}
	b := newBudget(shown, s.options.Listener)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subnets[id] = &entry{budget: b, last: time.Now()}
	return b, nil
}

// All lists the budgets by the ids of their subnets.
func (s *Subnets) All() []*Budget {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Budget, 0, len(s.subnets))
	for _, e := range s.subnets {
		all = append(all, e.budget)
	}
	slices.SortFunc(all, func(x, y *Budget) int { return cmp.Compare(x.ID, y.ID) })
	return all
}

// Run describes the subnets again and again until ctx ends, those with a shortage more
// often.
func (s *Subnets) Run(ctx context.Context) {
	timer := time.NewTimer(time.Until(s.options.Next(time.Now())))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.woken:
		case <-timer.C:
		}
		timer.Reset(time.Until(s.round(ctx)))
	}
}

// round describes the subnets that are due, and says when the next one is.
func (s *Subnets) round(ctx context.Context) (next time.Time) {
	next = s.options.Next(time.Now())
	for _, b := range s.All() {
		at := s.due(b)
		if !time.Now().Before(at) {
			s.Look(ctx, b)
			at = s.due(b)
		}
		next = earlier(next, at)
	}
	return next
}

// due is when a subnet is to be described next. A look that fails ends no shortage, so
// the look for what is lacking keeps its distance from the last one.
func (s *Subnets) due(b *Budget) time.Time {
	s.mu.Lock()
	e := *s.subnets[b.ID]
	s.mu.Unlock()
	if !e.asked.IsZero() {
		return e.asked
	}
	next := s.options.Next(e.last)
	if at := b.retryAt(); !at.IsZero() && at.Before(next) {
		return later(at, earlier(next, e.last.Add(firstPause)))
	}
	return next
}

// Look describes a subnet, corrects its budget and tells the listener. Several who look
// at a time share one look. What it could not read is logged, and read again later.
func (s *Subnets) Look(ctx context.Context, b *Budget) {
	_, _, _ = s.group.Do("look at "+b.ID, func() (any, error) {
		s.look(ctx, b)
		return nil, nil
	})
}

func (s *Subnets) look(ctx context.Context, b *Budget) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	s.begun(b)
	shown, err := s.options.Describer.Subnet(ctx, b.ID)
	s.ended(b)
	if err != nil {
		s.options.Log.Info("cannot describe the subnet", "subnet", b.ID, "error", err.Error(), "class", cloud.Classify(err).String())
		return
	}
	if hidden := b.install(shown); hidden > 0 {
		s.options.Log.Info("addresses of the subnet are in use that EC2 does not show, as in one that is shared with other accounts; they count as used",
			"subnet", b.ID, "addresses", hidden)
	}
	b.Notify()
	s.options.Listener.Described(b, shown)
}

// begun notes that a look begins: it is the one that was asked for until now. What is asked
// for while it runs it may have missed already, so that is due once more.
func (s *Subnets) begun(b *Budget) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subnets[b.ID].asked = time.Time{}
}

// ended notes that a look is over, whether EC2 has answered or not.
func (s *Subnets) ended(b *Budget) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subnets[b.ID].last = time.Now()
}

// LookSoon has a subnet described by Run, at once. Of a shortage only the first news
// calls for that (see Budget.Lacks): after it the subnet is looked at by the pauses.
func (s *Subnets) LookSoon(b *Budget) {
	s.mu.Lock()
	s.subnets[b.ID].asked = time.Now()
	s.mu.Unlock()
	s.Wake()
}

// Wake has Run find out anew when each subnet is to be described.
func (s *Subnets) Wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

func earlier(x, y time.Time) time.Time {
	if y.Before(x) {
		return y
	}
	return x
}

func later(x, y time.Time) time.Time {
	if y.After(x) {
		return y
	}
	return x
}
