package binding

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/pods"
)

// overtaken is a node on which the attempt ends while the promise is taken back.
type overtaken struct{ *node }

func (n overtaken) TakeBack(context.Context) error {
	n.group.EndAttempt("u")
	return nil
}

// I1: an attempt that has ended before its post is not posted.
func TestI1EndedBeforeThePost(t *testing.T) {
	x := pods.NewIndex()
	n, s := newNode(x, "win-1"), &api{pod: podOn("", "u")}
	if err := binder(x, s, n).Bind(t.Context(), key, "u", overtaken{n}); !errors.Is(err, pods.ErrOvertaken) || len(s.posted) != 0 {
		t.Errorf("Bind = %v, %d posts", err, len(s.posted))
	}
}

// unaddressed is a node where another allocator gives the address, or none is to be had.
type unaddressed struct {
	*node
	err error
}

func (n unaddressed) Obtain(_ context.Context, pod types.NamespacedName, uid types.UID) (*pods.Attempt, netip.Prefix, error) {
	if n.err != nil {
		return nil, netip.Prefix{}, n.err
	}
	a, _ := n.group.Begin(pod, uid, time.Now())
	err := a.Post(netip.Prefix{}, time.Now())
	return a, netip.Prefix{}, err
}

// People are told of the address that a pod was bound with, where Slotwise gave it one;
// how long it took is measured where there was one.
func TestBindTells(t *testing.T) {
	errFull := errors.New("full")
	for name, c := range map[string]struct {
		at                func(n *node) Node
		err               error
		allocated, waited int
	}{
		"with an address":             {func(n *node) Node { return n }, nil, 1, 1},
		"another allocator gives one": {func(n *node) Node { return unaddressed{n, nil} }, nil, 0, 1},
		"there is none":               {func(n *node) Node { return unaddressed{n, errFull} }, errFull, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := pods.NewIndex()
			n := newNode(x, "win-1")
			b := binder(x, &api{pod: podOn("", "u")}, n)
			allocated, waited := 0, 0
			b.o.Allocated = func(types.NamespacedName, types.UID, netip.Prefix) { allocated++ }
			b.o.Waited = func(time.Duration) { waited++ }
			if err := b.Bind(t.Context(), key, "u", c.at(n)); !errors.Is(err, c.err) {
				t.Errorf("Bind = %v, want %v", err, c.err)
			}
			if allocated != c.allocated || waited != c.waited {
				t.Errorf("told of %d addresses, measured %d; want %d, %d", allocated, waited, c.allocated, c.waited)
			}
		})
	}
}

// I7: what was posted, and what the watch does not show, is looked up until it is certain.
func TestI7VerifyOverdue(t *testing.T) {
	ended := podOn("win-1", "u")
	ended.Status.Phase = corev1.PodFailed
	for name, c := range map[string]struct {
		pod     *corev1.Pod
		after   time.Duration // the lost answer
		dropped bool
		used    bool
		goesOn  bool // it is not looked up again soon
	}{
		"not overdue yet":                        {pod: nil, after: overdueAfter},
		"bound, and the watch is late":           {pod: podOn("win-1", "u"), after: overdueAfter + 1, goesOn: true},
		"bound to another Node of that instance": {pod: podOn("left-over", "u"), after: overdueAfter + 1, goesOn: true},
		"bound to another instance":              {pod: podOn("win-2", "u"), after: overdueAfter + 1, dropped: true},
		"not bound, and may be yet":              {pod: podOn("", "u"), after: time.Minute},
		"not bound, and never will be":           {pod: podOn("", "u"), after: 2 * time.Minute, dropped: true},
		"I2: it has gone":                        {pod: nil, after: overdueAfter + 1, dropped: true, used: true},
		"I2: it has run, and failed":             {pod: ended, after: overdueAfter + 1, dropped: true, used: true},
		"I2: another of that name":               {pod: podOn("win-1", "other"), after: overdueAfter + 1, dropped: true, used: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := pods.NewIndex()
				n := newNode(x, "win-1")
				s := &api{answer: errLost, pod: podOn("", "u")}
				b := binder(x, s, n, newNode(x, "win-2"))
				b.o.Router.(routes)["left-over"] = n
				if err := b.Bind(t.Context(), key, "u", n); !errors.Is(err, errLost) {
					t.Fatalf("Bind = %v", err)
				}
				s.pod = c.pod
				time.Sleep(c.after)
				b.VerifyOverdue(t.Context(), n)
				if (n.dropped == 1) != c.dropped || n.used != c.used {
					t.Errorf("dropped %d times, used: %t; want %t, %t", n.dropped, n.used, c.dropped, c.used)
				}
				late := len(n.group.Overdue(time.Now().Add(-overdueAfter))) > 0
				if want := c.after > overdueAfter && !c.dropped && !c.goesOn; late != want {
					t.Errorf("still overdue: %t, want %t", late, want)
				}
			})
		})
	}
}

// While the API server does not answer, nothing is decided.
func TestI7VerifyWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := pods.NewIndex()
		n := newNode(x, "win-1")
		s := &api{answer: errLost, pod: podOn("", "u")}
		b := binder(x, s, n)
		if err := b.Bind(t.Context(), key, "u", n); !errors.Is(err, errLost) {
			t.Fatalf("Bind = %v", err)
		}
		b.o.API = silent{s}
		time.Sleep(time.Hour)
		b.VerifyOverdue(t.Context(), n)
		if n.dropped != 0 || x.Latest("u") == nil {
			t.Error("the attempt is dropped though nobody knows")
		}
	})
}

// silent is an API server that does not answer.
type silent struct{ *api }

func (silent) Get(context.Context, types.NamespacedName) (*corev1.Pod, error) { return nil, errLost }
