package preemption

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/capacity"
	"slotwise.dev/slotwise/allocator/pods"
)

var now = time.Unix(1_000_000, 0)

// node is one whose pods all bring an address when they end.
type node struct {
	name    string
	group   pods.Group
	outlook capacity.Outlook
	stalled int // what EC2 would bring beside it
}

func newNode(x *pods.Index, name string, has ...pods.Pod) *node {
	n := &node{name: name, outlook: capacity.Outlook{Read: true}}
	n.group = x.Group(n)
	for _, p := range has {
		p.Node = name
		n.group.Place(p, now)
	}
	return n
}

func (n *node) Name() string                            { return n.name }
func (n *node) Pods() pods.Group                        { return n.group }
func (n *node) Observe(pods.Pod) (pods.Home, types.UID) { return nil, "" }
func (n *node) Ended(types.UID, time.Duration)          {}
func (n *node) Foresee(ended []types.UID) capacity.Outlook {
	o := n.outlook
	for _, uid := range ended {
		if _, lives := n.group.Get(uid); lives {
			o.Remaining++
		}
	}
	o.AtBest = o.Remaining + n.stalled
	return o
}

func pod(name string, priority int32) capacity.Pod {
	return capacity.Pod{Key: types.NamespacedName{Namespace: "default", Name: name}, UID: types.UID(name), Priority: priority}
}

func victim(uid types.UID, priority int32) pods.Pod {
	return pods.Pod{UID: uid, Priority: priority, Created: now.Add(-time.Hour)}
}

func option(n *node, violations int64, victims ...types.UID) Option {
	return Option{n, capacity.Candidate{Node: n.name, Victims: victims, Violations: violations}}
}

func pendingAll(context.Context, capacity.Pod) (bool, error) { return true, nil }

var preemptor = pod("urgent", 100)

func TestChooseTheCheapest(t *testing.T) {
	x := pods.NewIndex()
	a := newNode(x, "a", victim("a1", 0), victim("a2", 0))
	b := newNode(x, "b", victim("b1", 5))
	c := newNode(x, "c", victim("c1", 0))
	for _, n := range []*node{a, b, c} {
		n.outlook.Shown = 1 // so the victims have something else that is needed
	}
	for name, c := range map[string]struct {
		options []Option
		want    string
	}{
		"no budget violated": {[]Option{option(a, 1, "a1"), option(b, 0, "b1")}, "b"},
		"less important":     {[]Option{option(a, 0, "a1"), option(b, 0, "b1")}, "a"},
		"fewer victims":      {[]Option{option(a, 0, "a1", "a2"), option(c, 0, "c1")}, "c"},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, ok := New(pendingAll).Choose(t.Context(), preemptor, c.options, now)
			if !ok || chosen.Node != c.want {
				t.Errorf("chose %q, %t; want %q", chosen.Node, ok, c.want)
			}
		})
	}
}

// Nobody has to go for an address that is not needed, however the scheduler counts.
func TestChooseOnlyTheNeeded(t *testing.T) {
	for name, c := range map[string]struct {
		remaining int // with nobody's end
		shown     int // what of the total is left
		stopping  bool
		want      []types.UID // nil: none, and the pod expects what comes
	}{
		"one of two":                               {0, 0, false, []types.UID{"a1"}},
		"both, for what else they have":            {0, 1, false, []types.UID{"a1", "a2"}},
		"none while an address comes by itself":    {1, 0, false, nil},
		"none where the Node shows nothing":        {1, -2, false, nil},
		"all, where the scheduler sees an address": {1, 1, false, []types.UID{"a1", "a2"}},
		"one, beside one that stops for another":   {0, -1, true, []types.UID{"a1"}},
		"one, where what is seen is for another":   {0, 1, true, []types.UID{"a1"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(pods.NewIndex(), "a", victim("a1", 0), victim("a2", 5), victim("a3", 0))
			n.outlook.Remaining, n.outlook.Shown = c.remaining, c.shown
			s := New(pendingAll)
			if c.stopping {
				s.book.add(nomination{pod: pod("other", 100), node: n, victims: []types.UID{"a3"}, made: now, until: now.Add(time.Minute)})
			}
			chosen, ok := s.Choose(t.Context(), preemptor, []Option{option(n, 0, "a1", "a2")}, now)
			if ok != (c.want != nil) || !slices.Equal(chosen.Victims, c.want) {
				t.Errorf("chose %v, %t; want %v", chosen.Victims, ok, c.want)
			}
			if _, nominated := s.book.of(preemptor.UID); !nominated {
				t.Error("nothing is on its way to the pod")
			}
		})
	}
}

// What is on its way to a pod that has been deleted is nobody's.
func TestChooseAfterADeletedPod(t *testing.T) {
	for name, c := range map[string]struct {
		pending bool
		err     error
		want    []types.UID
	}{
		"it pends":      {pending: true, want: []types.UID{"a1"}},
		"it is deleted": {},
		"no answer":     {err: errors.New("no answer"), want: []types.UID{"a1"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(pods.NewIndex(), "a", victim("a1", 0))
			n.outlook.Remaining = 1
			s := New(func(context.Context, capacity.Pod) (bool, error) { return c.pending, c.err })
			s.Expect(pod("other", 100), []Node{n}, now)
			chosen, _ := s.Choose(t.Context(), preemptor, []Option{option(n, 0, "a1")}, now.Add(time.Millisecond))
			if !slices.Equal(chosen.Victims, c.want) {
				t.Errorf("chose %v, want %v", chosen.Victims, c.want)
			}
			if _, kept := s.book.of("other"); kept != (c.want != nil) {
				t.Errorf("the nomination of the other is kept: %t", kept)
			}
		})
	}
}

// What is on its way to a pod is on its way to the one that has come in its place.
func TestChooseForASuccessor(t *testing.T) {
	x := pods.NewIndex()
	a, b := newNode(x, "a", victim("a1", 0), victim("a2", 0)), newNode(x, "b", victim("b1", 0))
	successor := preemptor
	successor.UID = "its successor"
	for name, c := range map[string]struct {
		option Option
		want   []types.UID
	}{
		"on the same node": {option: option(a, 0, "a2")},
		"on another node":  {option: option(b, 0, "b1"), want: []types.UID{"b1"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(pendingAll)
			if _, ok := s.Choose(t.Context(), preemptor, []Option{option(a, 0, "a1")}, now); !ok {
				t.Fatal("no victim at first")
			}
			if chosen, _ := s.Choose(t.Context(), successor, []Option{c.option}, now.Add(time.Second)); !slices.Equal(chosen.Victims, c.want) {
				t.Errorf("chose %v for its successor, want %v", chosen.Victims, c.want)
			}
			if _, kept := s.book.of(preemptor.UID); kept {
				t.Error("something is on its way to a pod that has gone")
			}
			if _, nominated := s.book.of(successor.UID); !nominated {
				t.Error("nothing is on its way to its successor")
			}
		})
	}
}

// Nobody has to go in the place of a victim whose address others have got by now, but for
// the pod for which it went.
func TestChooseAfterABrokenPromise(t *testing.T) {
	n := newNode(pods.NewIndex(), "a", victim("a1", 0), victim("a2", 0), victim("a3", 0))
	s, later := New(pendingAll), now.Add(time.Second)
	if _, ok := s.Choose(t.Context(), preemptor, []Option{option(n, 0, "a1")}, now); !ok {
		t.Fatal("no victim at first")
	}
	if vain := s.Review(later); len(vain) > 0 {
		t.Error("it ended while its victim stopped")
	}
	n.group.Remove("a1", now) // and a pod that was bound past the extender gets its address
	if chosen, _ := s.Choose(t.Context(), pod("another", 100), []Option{option(n, 0, "a2", "a3")}, later); len(chosen.Victims) != 1 {
		t.Errorf("chose %v for another, want one", chosen.Victims)
	}
	if vain := s.Review(later); len(vain) != 1 {
		t.Errorf("Review = %v, want the node on which nothing is on its way any more", vain)
	}
	if _, ok := s.Choose(t.Context(), preemptor, []Option{option(n, 0, "a2")}, later); !ok {
		t.Error("no victim, though nothing is on its way to it")
	}
}

// One that is overtaken waits for what comes of it, and nobody has to go in its stead.
func TestChooseAfterAnOvertakenPod(t *testing.T) {
	n := newNode(pods.NewIndex(), "a", victim("a1", 0), victim("a2", 0))
	n.outlook.Remaining = 1
	s := New(pendingAll)
	s.Expect(preemptor, []Node{n}, now)
	s.Expect(pod("more urgent", 1000), []Node{n}, now.Add(time.Second))
	later := now.Add(2 * time.Second)
	if chosen, ok := s.Choose(t.Context(), preemptor, []Option{option(n, 0, "a1")}, later); ok {
		t.Errorf("chose %v for the one that is overtaken", chosen.Victims)
	}
	chosen, _ := s.Choose(t.Context(), pod("another", 100), []Option{option(n, 0, "a1", "a2")}, later)
	if len(chosen.Victims) != 1 {
		t.Fatalf("chose %v for another, want one", chosen.Victims)
	}
	n.group.Remove(chosen.Victims[0], later)
	n.outlook.Remaining++
	if vain := s.Review(later); len(vain) > 0 {
		t.Error("one ended, though all have what was to come for them but the one that is overtaken")
	}
	s.Remove("more urgent") // it is bound
	n.outlook.Remaining--
	if vain := s.Review(later); len(vain) != 1 {
		t.Error("none ended, though there is one address for two")
	}
}

// Where less comes than was promised, who had others go keeps what comes of it.
func TestReviewKeepsWhatWasPaidFor(t *testing.T) {
	n := newNode(pods.NewIndex(), "a", victim("a1", 0))
	n.outlook.Remaining = 1 // room in the subnet
	s, first := New(pendingAll), pod("first", preemptor.Priority)
	s.Expect(first, []Node{n}, now)
	s.Choose(t.Context(), preemptor, []Option{option(n, 0, "a1")}, now.Add(time.Second))
	n.group.Remove("a1", now) // its address comes, and the room has gone
	s.Review(now.Add(2 * time.Second))
	if _, kept := s.book.of(preemptor.UID); !kept {
		t.Error("nothing is on its way to the one for which another had to go")
	}
	if _, kept := s.book.of(first.UID); kept {
		t.Error("something is on its way to the one that counted on room")
	}
}

// What EC2 fails to bring for the moment breaks no promise.
func TestReviewWhileEC2Fails(t *testing.T) {
	n := newNode(pods.NewIndex(), "a")
	n.outlook.Remaining = 1
	s := New(pendingAll)
	s.Expect(preemptor, []Node{n}, now)
	n.outlook.Remaining, n.stalled = 0, 16
	if vain := s.Review(now); len(vain) > 0 {
		t.Error("it ended")
	}
}

// A pod that is being bound has what was on its way to it: that is not missing for others.
func TestReviewDuringABind(t *testing.T) {
	n := newNode(pods.NewIndex(), "a")
	n.outlook.Remaining = 2
	s := New(pendingAll)
	s.Expect(preemptor, []Node{n}, now)
	s.Expect(pod("next", 0), []Node{n}, now)
	n.group.Begin(preemptor.Key, preemptor.UID, now)
	n.outlook.Remaining = 1
	if vain := s.Review(now); len(vain) > 0 {
		t.Error("the nomination of the next one ended")
	}
	if _, kept := s.book.of("next"); !kept {
		t.Error("nothing is on its way to the next one")
	}
}

// What a pod takes that is being bound comes back where that comes to nothing: so nobody has
// to go for one whose address it takes before it is bound.
func TestChooseDuringTheBindOfAnother(t *testing.T) {
	for name, bound := range map[string]bool{"it is bound": true, "it comes to nothing": false} {
		t.Run(name, func(t *testing.T) {
			n := newNode(pods.NewIndex(), "a", victim("a1", 0), victim("a2", 0))
			s, other := New(pendingAll), pod("other", 100)
			s.Choose(t.Context(), preemptor, []Option{option(n, 0, "a1")}, now)
			n.group.Remove("a1", now)
			n.group.Begin(other.Key, other.UID, now)
			choose := func() []types.UID {
				chosen, _ := s.Choose(t.Context(), preemptor, []Option{option(n, 0, "a2")}, now.Add(time.Second))
				return chosen.Victims
			}
			if got := choose(); len(got) > 0 {
				t.Errorf("chose %v while another is being bound", got)
			}
			n.group.EndAttempt(other.UID)
			if !bound {
				n.outlook.Remaining = 1
			}
			if got := choose(); (len(got) > 0) != bound {
				t.Errorf("chose %v after that", got)
			}
		})
	}
}

// Pods are asked for seldom, and not all at once.
func TestVerifySeldom(t *testing.T) {
	var asked atomic.Int32
	s := New(func(context.Context, capacity.Pod) (bool, error) {
		asked.Add(1)
		return true, nil
	})
	n := newNode(pods.NewIndex(), "a")
	n.outlook.Remaining = 100
	for i := range askTogether + 4 {
		s.Expect(pod(strconv.Itoa(i), 0), []Node{n}, now)
	}
	for _, c := range []struct {
		after time.Duration
		want  int32
	}{{0, 0}, {askAgainAfter, askTogether}, {askAgainAfter + 1, 4}, {askAgainAfter + 2, 0}} {
		asked.Store(0)
		s.Verify(t.Context(), now.Add(c.after))
		if got := asked.Load(); got != c.want {
			t.Errorf("asked for %d pods after %s, want %d", got, c.after, c.want)
		}
	}
}

// One victim for a pod: while an address is on its way to it no other pod has to go.
func TestChooseOnce(t *testing.T) {
	x := pods.NewIndex()
	n := newNode(x, "a", victim("a1", 0), victim("a2", 0))
	s := New(pendingAll)
	if _, ok := s.Choose(t.Context(), preemptor, []Option{option(n, 0, "a1")}, now); !ok {
		t.Fatal("no victim at first")
	}
	if chosen, ok := s.Choose(t.Context(), preemptor, []Option{option(n, 0, "a2")}, now.Add(time.Second)); ok {
		t.Errorf("chose %v once more", chosen.Victims)
	}
	if _, ok := s.Choose(t.Context(), preemptor, []Option{option(n, 0, "a2")}, now.Add(evictionTime)); !ok {
		t.Error("no victim though the scheduler has not deleted the one that it was granted")
	}
}

// Nobody has to go where that brings the pod no address.
func TestChooseNoneInVain(t *testing.T) {
	x := pods.NewIndex()
	n := newNode(x, "a", victim("a1", 0))
	n.outlook.Remaining = -1
	if chosen, ok := New(pendingAll).Choose(t.Context(), preemptor, []Option{option(n, 0, "a1")}, now); ok {
		t.Errorf("chose %v in vain", chosen.Victims)
	}
	n.outlook = capacity.Outlook{}
	if chosen, ok := New(pendingAll).Choose(t.Context(), preemptor, []Option{option(n, 0, "a1")}, now); ok {
		t.Errorf("chose %v on a node that is not read", chosen.Victims)
	}
}

// What comes free is kept for the pod of higher priority, until it is there.
func TestKept(t *testing.T) {
	x := pods.NewIndex()
	n, next := newNode(x, "a"), newNode(x, "a")
	n.outlook.Remaining = 1
	s := New(pendingAll)
	s.Expect(preemptor, []Node{n}, now)
	if kept := s.Kept(pod("low", 0)); kept[n] != 1 {
		t.Errorf("Kept = %v, want one", kept)
	}
	if kept := s.Kept(preemptor); len(kept) != 0 {
		t.Errorf("Kept = %v from the pod itself", kept)
	}
	s.Move(n, next)
	if kept := s.Kept(pod("low", 0)); kept[next] != 1 || kept[n] != 0 {
		t.Errorf("Kept = %v after the node was read anew", kept)
	}
	s.Remove(preemptor.UID)
	if kept := s.Kept(pod("low", 0)); len(kept) != 0 {
		t.Errorf("Kept = %v for a pod that needs it no longer", kept)
	}
}

// A nomination does not age while what it waits for cools, and ends after.
func TestReview(t *testing.T) {
	x := pods.NewIndex()
	n := newNode(x, "a")
	n.outlook = capacity.Outlook{Read: true, Remaining: 1, Cooling: 1}
	s := New(pendingAll)
	s.Expect(preemptor, []Node{n}, now)
	for after := time.Duration(0); after < 3*time.Minute; after += 10 * time.Second {
		if vain := s.Review(now.Add(after)); len(vain) > 0 {
			t.Fatalf("ended after %s, while it cooled", after)
		}
	}
	n.outlook = capacity.Outlook{Read: true, Now: 1, Remaining: 1}
	if vain := s.Review(now.Add(3*time.Minute + slack)); len(vain) != 1 || vain[0] != Node(n) {
		t.Errorf("Review = %v, want the node on which it was kept in vain", vain)
	}
}
