package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/annotate"
	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/nodeslots"
	"slotwise.dev/slotwise/allocator/pods"
)

// Why a bind is not posted; the scheduler shows the text on the pod.
var (
	errNotShown = errors.New("the node does not show the address to its kubelet yet")
	errTaken    = errors.New("another client of EC2 has taken the address from the network interface")
)

// Binds is the side of a node that binds pods; see package binding.
type Binds struct {
	core  *core
	slots *nodeslots.Object
	shown *Shown
}

// Name is the Node that offers the capacity.
func (b *Binds) Name() string { return b.core.node.Name() }

// Home is the node.
func (b *Binds) Home() pods.Home { return b.core.node }

// Obtain takes an address for a pod that is to be bound to the node, or waits until EC2
// has brought one or ctx ends. The attempt that it returns is noted as posted with the
// address, which is invalid where another allocator gives it; there is none for a pod
// that is bound here already.
func (b *Binds) Obtain(ctx context.Context, pod types.NamespacedName, uid types.UID) (*pods.Attempt, netip.Prefix, error) {
	x, err := b.request(pod, uid)
	if err != nil || x.attempt == nil {
		return nil, netip.Prefix{}, err
	}
	select {
	case o := <-x.answer:
		if o.err == nil {
			o.err = b.awaitKubelet(ctx)
		}
		if o.err != nil {
			b.abandon(x)
			return nil, netip.Prefix{}, o.err
		}
		address, err := b.post(x, o)
		if err != nil {
			b.abandon(x)
			return nil, netip.Prefix{}, err
		}
		return x.attempt, address, nil
	case <-ctx.Done():
		b.abandon(x)
		return nil, netip.Prefix{}, fmt.Errorf("no answer from EC2 in time: %w", ctx.Err())
	}
}

// bindRequest is one call of Bind.
type bindRequest struct {
	attempt *pods.Attempt
	call    int // of the attempt
	answer  <-chan outcome
}

// request takes an address for a pod, or has it wait for one.
func (b *Binds) request(pod types.NamespacedName, uid types.UID) (x bindRequest, err error) {
	leads := b.core.shared.Gate.Leads()
	b.core.update(func(s *state, now time.Time) {
		if err = b.refusalLocked(leads); err != nil || s.pods.Has(uid) {
			return
		}
		answer := s.waiters.add(uid, now)
		if g, ok := s.take(uid, now); ok {
			s.lastGrant = now
			s.waiters.answer(uid, outcome{grant: g})
		} else {
			s.ledger.Wait(uid)
			s.settleClaims(s.want(b.core.shared.Settings(), s.ledger.Counts()), now)
			if err = s.lack(now); err != nil {
				s.waiters.dismiss(uid, err, now)
				return
			}
			if !s.policy.Gives() {
				s.waiters.answer(uid, outcome{}) // bound first, it gets its address from the other allocator
			}
		}
		x.attempt, x.call = s.pods.Begin(pod, uid, now)
		x.answer = answer
	})
	return x, err
}

// refusalLocked says why nothing can be taken on this node at all. Caller holds the lock.
func (b *Binds) refusalLocked(leads bool) error {
	switch {
	case !b.core.shared.Gate.On():
		return &capacity.Error{Reason: capacity.Off}
	case !leads:
		return kube.ErrNotLeading
	case !b.core.shared.podsRead() || b.core.phase != ready:
		return &capacity.Error{Reason: capacity.NotReady}
	}
	return nil
}

// post notes that an attempt is about to be posted, unless it has ended meanwhile, or
// another client has taken the address from the interface: then it keeps none.
func (b *Binds) post(x bindRequest, o outcome) (netip.Prefix, error) {
	b.core.mu.Lock()
	defer b.core.mu.Unlock()
	address := format(o.grant, b.core.budget.Bits)
	if held, _ := b.core.ledger.Holder(x.attempt.UID); held != o.grant.Address && x.attempt.Current() {
		return netip.Prefix{}, errTaken
	}
	return address, x.attempt.Post(address, time.Now())
}

// abandon takes back what a bind was promised, unless another bind of the same pod has
// taken over, or it was posted before: then only the API server knows.
func (b *Binds) abandon(x bindRequest) {
	b.core.update(func(s *state, now time.Time) {
		if x.attempt.Unposted(x.call) {
			s.waiters.dismiss(x.attempt.UID, pods.ErrOvertaken, now)
		}
	})
}

// Drop ends an attempt that came to nothing, unless it was posted again after the API
// server was asked: what it said before that no longer counts. The address cools where
// the pod may have used it.
func (b *Binds) Drop(a *pods.Attempt, posts int, used bool) {
	b.core.update(func(s *state, now time.Time) {
		if since, _ := a.Posts(now); !a.Current() || since != posts {
			return
		}
		s.pods.EndAttempt(a.UID)
		if used {
			s.ledger.End(a.UID, now)
		} else {
			s.ledger.Cancel(a.UID, now)
		}
	})
}

// TakeBack takes the promise back that the node's free addresses are free: from now on
// they may be given.
func (b *Binds) TakeBack(ctx context.Context) error { return b.slots.TakeBack(ctx) }

// Owes says that a pod is still to get an address: Slotwise has not been turned off, nor
// the pod given another one, while the annotation was on its way.
func (b *Binds) Owes(x annotate.Annotation) bool {
	c := b.core
	c.mu.Lock()
	defer c.mu.Unlock()
	held, _ := c.ledger.Holder(x.UID)
	return c.phase == ready && c.shared.Gate.On() && held == x.Address.Addr()
}

// TurnAway answers the binds that wait, before the process ends.
func (b *Binds) TurnAway() {
	b.core.mu.Lock()
	defer b.core.mu.Unlock()
	b.core.waiters.dismissAll(kube.ErrNotLeading, time.Now())
}

// lookAgainAfter is how often a bind looks whether the node shows enough.
const lookAgainAfter = 50 * time.Millisecond

// awaitKubelet waits until the node's kubelet is sure to see a total that holds all that
// it may count, the pods that are being bound among it (I9).
func (b *Binds) awaitKubelet(ctx context.Context) error {
	for !b.fitsKubelet() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errNotShown, ctx.Err())
		case <-time.After(lookAgainAfter):
		}
	}
	return nil
}

func (b *Binds) fitsKubelet() bool {
	b.core.mu.Lock()
	defer b.core.mu.Unlock()
	now := time.Now()
	return b.core.totals.counted(b.core.ledger.Counts(), now) <= b.shown.least(b.Name(), now)
}
