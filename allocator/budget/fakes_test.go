package budget

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/ledger"
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// tiny is a subnet of 64 addresses as a describe that began now shows it: two prefixes, or
// 59 addresses, but for what is used.
func tiny(used ...string) cloud.Subnet {
	s := cloud.Subnet{ID: "subnet-1", CIDR: netip.MustParsePrefix("10.0.0.0/26"), Available: 59, AsOf: time.Now()}
	for _, p := range prefixes(used...) {
		s.Used = append(s.Used, p)
		s.Available -= ledger.KindOf(p).Addresses()
	}
	return s
}

// told is one call of a listener: the growth of a room, or a describe.
type told struct {
	grew      bool
	described bool
	available int // prefixes at that moment
}

// listener notes what it is told of one budget.
type listener struct {
	react func() // does something in the middle of RoomChanged; nil: nothing

	mu     sync.Mutex
	budget *Budget
	told   []told
}

func (l *listener) RoomChanged(_ string, grew bool) {
	l.mu.Lock()
	l.told = append(l.told, told{grew: grew, available: l.budget.Available(ledger.Prefix)})
	l.mu.Unlock()
	if l.react != nil {
		l.react()
	}
}

func (l *listener) Described(b *Budget, _ cloud.Subnet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, told{described: true, available: b.Available(ledger.Prefix)})
}

// all is what the listener was told since it was asked last.
func (l *listener) all() []told {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.told
	l.told = nil
	return all
}

// budgetOf is the budget of a subnet, with who is told of it.
func budgetOf(s cloud.Subnet) (*Budget, *listener) {
	l := &listener{}
	l.budget = newBudget(s, l)
	return l.budget, l
}

// ec2 describes tiny subnets.
type ec2 struct {
	start time.Time
	takes time.Duration // before it answers

	mu   sync.Mutex
	used []string
	err  error
	at   []time.Duration // when it was asked, since the start
}

func (e *ec2) Subnet(_ context.Context, id string) (cloud.Subnet, error) {
	e.mu.Lock()
	e.at = append(e.at, time.Since(e.start))
	shown, err := tiny(e.used...), e.err
	e.mu.Unlock()
	time.Sleep(e.takes)
	shown.ID = id
	return shown, err
}

// answers has EC2 answer with an error, nil: none, and with what is used from now on.
func (e *ec2) answers(err error, used ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err, e.used = err, used
}

// asked is when EC2 was asked, in seconds since the start.
func (e *ec2) asked() (seconds []float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, at := range e.at {
		seconds = append(seconds, at.Seconds())
	}
	return seconds
}

// running is Subnets that run until the test ends, with one subnet that was described at
// second zero.
func running(t *testing.T, next func(time.Time) time.Time) (*Subnets, *Budget, *ec2, *listener) {
	e, l := &ec2{start: time.Now()}, &listener{}
	s := NewSubnets(Options{Describer: e, Listener: l, Next: next, Log: testr.New(t)})
	b, err := s.Budget(t.Context(), "subnet-1")
	if err != nil {
		t.Fatal(err)
	}
	l.budget = b
	go s.Run(t.Context())
	return s, b, e, l
}

func everyMinute(last time.Time) time.Time { return last.Add(time.Minute) }

// hanging is EC2 that never answers.
type hanging struct{}

func (hanging) Subnet(ctx context.Context, _ string) (cloud.Subnet, error) {
	<-ctx.Done()
	return cloud.Subnet{}, ctx.Err()
}
