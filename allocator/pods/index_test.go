package pods

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/ledger"
)

// home is a ledger's stand-in. It remembers whose end it was told.
type home struct {
	name  string
	ended []types.UID
}

func (h *home) Observe(Pod) (Home, types.UID)        { return nil, "" }
func (h *home) Ended(pod types.UID, _ time.Duration) { h.ended = append(h.ended, pod) }
func (h *home) in(x *Index) Group                    { return x.Group(h) }
func address(last byte) netip.Addr                   { return netip.AddrFrom4([4]byte{10, 0, 0, last}) }
func pod(uid types.UID, node string, a netip.Addr) Pod {
	return Pod{UID: uid, Node: node, Address: a, Asks: 1}
}
func key(uid types.UID) types.NamespacedName { return types.NamespacedName{Name: string(uid)} }

var now = time.Unix(1_000_000, 0)

func TestPlaceAndRemove(t *testing.T) {
	x, a := NewIndex(), &home{name: "a"}
	g := a.in(x)
	if was, sharing := g.Place(pod("p", "win-1", address(1)), now); was != nil || sharing != "" {
		t.Errorf("Place = %v, %q of a pod that is new", was, sharing)
	}
	if load, binding := g.Load("win-1"); load != (Load{Pods: 1, Asked: 1}) || binding != 0 {
		t.Errorf("Load = %+v, %d", load, binding)
	}
	if _, bound := g.Remove("p", now); !bound {
		t.Error("a pod that was bound was not")
	}
	if load, _ := g.Load("win-1"); load != (Load{}) {
		t.Errorf("Load = %+v of no pods", load)
	}
	if _, bound := g.Remove("p", now); bound {
		t.Error("a pod ended twice")
	}
}

// I1: the pod that was seen first with an address stays its holder.
func TestI1SharedAddress(t *testing.T) {
	x, a, b := NewIndex(), &home{name: "a"}, &home{name: "b"}
	a.in(x).Place(pod("first", "win-1", address(1)), now)
	if _, sharing := b.in(x).Place(pod("second", "win-2", address(1)), now); sharing != "first" {
		t.Errorf("shares with %q, want first", sharing)
	}
	if !b.in(x).HeldElsewhere(address(1), "third", now) || b.in(x).HeldElsewhere(address(1), "first", now) {
		t.Error("an address is held by another pod than its holder, or is not")
	}
}

// I2: an address whose pod ended elsewhere rests here, too.
func TestI2EndedElsewhere(t *testing.T) {
	x, a, b := NewIndex(), &home{name: "a"}, &home{name: "b"}
	a.in(x).Place(pod("p", "win-1", address(1)), now)
	a.in(x).Remove("p", now)
	for name, c := range map[string]struct {
		group Group
		after time.Duration
		held  bool
	}{
		"elsewhere, at once":              {b.in(x), 0, true},
		"elsewhere, after the cooldown":   {b.in(x), ledger.Cooldown, false},
		"at home the ledger knows itself": {a.in(x), 0, false},
	} {
		if got := c.group.HeldElsewhere(address(1), "q", now.Add(c.after)); got != c.held {
			t.Errorf("%s: held is %t", name, got)
		}
	}
}

// I5: whoever lodges the address of a pod hears of its end.
func TestI5Lodge(t *testing.T) {
	x, a, b := NewIndex(), &home{name: "a"}, &home{name: "b"}
	a.in(x).Place(pod("p", "win-1", address(17)), now)
	block := netip.PrefixFrom(address(16), 28)
	if found := b.in(x).Lodge(block); len(found) != 1 || found[0].Pod != "p" {
		t.Errorf("Lodge = %v, want p", found)
	}
	if homes := x.End("p", now); len(homes) != 2 {
		t.Errorf("End = %v, want both", homes)
	}
	if found := b.in(x).Lodge(block); len(found) != 0 {
		t.Errorf("Lodge = %v of a pod whose end nobody will be told of again", found)
	}
	if !b.in(x).HeldElsewhere(address(17), "q", now) {
		t.Error("its address does not cool")
	}
}

func TestAttempt(t *testing.T) {
	x, h := NewIndex(), &home{name: "a"}
	g := h.in(x)
	a, call := g.Begin(key("p"), "p", now)
	if x.Latest("p") != a || !a.Unposted(call) {
		t.Fatal("an attempt that has begun is not there, or was posted")
	}
	if again, second := g.Begin(key("p"), "p", now); again != a || a.Unposted(call) || !a.Unposted(second) {
		t.Error("the latest call is not the one that counts")
	}
	if err := a.Post(netip.PrefixFrom(address(1), 32), now); err != nil {
		t.Fatal(err)
	}
	if posts, inDoubt := a.Posts(now); posts != 1 || !inDoubt {
		t.Errorf("Posts = %d, %t while one is under way", posts, inDoubt)
	}
	a.Posted(true, now)
	if _, inDoubt := a.Posts(now.Add(lateWrite - 1)); !inDoubt {
		t.Error("I7: a lost answer is no doubt")
	}
	if _, inDoubt := a.Posts(now.Add(lateWrite)); inDoubt {
		t.Error("a doubt has no end")
	}
	if late := g.Overdue(now.Add(time.Second)); len(late) != 1 {
		t.Errorf("Overdue = %v, want the attempt", late)
	}
	g.Place(pod("p", "win-1", address(1)), now)
	if a.Current() || !errors.Is(a.Post(netip.Prefix{}, now), ErrOvertaken) || x.Latest("p") != nil {
		t.Error("an attempt outlives the sight of its pod")
	}
}

// I6: a pod that was being bound, and that the watch never showed, ends where it was.
func TestI6HomesOfAnAttempt(t *testing.T) {
	x, a, b := NewIndex(), &home{name: "a"}, &home{name: "b"}
	a.in(x).Begin(key("p"), "p", now)
	b.in(x).Begin(key("p"), "p", now)
	if homes := x.End("p", now); len(homes) != 1 || homes[0] != Home(b) {
		t.Errorf("End = %v, want the latest", homes)
	}
	b.in(x).EndAttempts()
	if at := x.Latest("p"); at == nil || at.Home() != Home(a) {
		t.Error("the attempt before is forgotten")
	}
}

func TestTellOnce(t *testing.T) {
	x, h := NewIndex(), &home{name: "a"}
	g := h.in(x)
	g.Place(pod("p", "win-1", netip.Addr{}), now)
	if waiting := g.WithoutAddress(now); len(waiting) != 1 {
		t.Errorf("WithoutAddress = %v", waiting)
	}
	if !g.Tell("p", Hangs) || g.Tell("p", Hangs) || !g.Tell("p", Lost) {
		t.Error("news are not told once each")
	}
	g.Place(pod("p", "win-1", address(1)), now)
	if waiting := g.WithoutAddress(now); len(waiting) != 0 {
		t.Errorf("WithoutAddress = %v of a pod that has one", waiting)
	}
}

// I1: two nodes may both believe that an address is theirs; one pod is bound with it.
func TestI1TwoAttemptsWithOneAddress(t *testing.T) {
	x, a, b := NewIndex(), &home{name: "a"}, &home{name: "b"}
	shared := netip.PrefixFrom(address(1), 32)
	first, _ := a.in(x).Begin(key("p"), "p", now)
	second, _ := b.in(x).Begin(key("q"), "q", now)
	if err := first.Post(shared, now); err != nil {
		t.Fatal(err)
	}
	if !b.in(x).HeldElsewhere(address(1), "q", now) || a.in(x).HeldElsewhere(address(1), "p", now) {
		t.Error("an address that a pod is being bound with is not its own alone")
	}
	if err := second.Post(shared, now); !errors.Is(err, ErrHeld) {
		t.Errorf("Post = %v, want ErrHeld", err)
	}
	a.in(x).EndAttempt("p")
	if err := second.Post(shared, now); err != nil {
		t.Errorf("Post = %v once the other attempt is over", err)
	}
	a.in(x).Place(pod("p", "win-1", address(1)), now)
	if err := second.Post(shared, now); !errors.Is(err, ErrHeld) {
		t.Errorf("Post = %v while a live pod has the address, want ErrHeld", err)
	}
}
