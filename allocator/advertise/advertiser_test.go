package advertise

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/vpc"
)

var (
	errAPI   = errors.New("the API server does not answer")
	notFound = apierrors.NewNotFound(schema.GroupResource{Resource: "nodes"}, "win-1")
)

// What is written on a Node that offers 10, of which 5 remain, and what its source is
// told. Each case begins at second 10, with that written at second 0.
func TestAdvertise(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(w *world)
		want []string
	}{
		"nothing has changed": {
			do: func(w *world) { w.Changed("win-1", false) },
		},
		"the total grows": {
			do:   func(w *world) { w.offers(12, 5); w.Changed("win-1", false) },
			want: []string{"10: wrote 12, 5 remain, since 0", "10: shows 12"},
		},
		"the total shrinks: that is told before": {
			do:   func(w *world) { w.offers(8, 5); w.Changed("win-1", false) },
			want: []string{"10: shows 8", "10: wrote 8, 5 remain, since 0", "10: shows 8"},
		},
		"changes within a second are written together": {
			do: func(w *world) {
				w.offers(12, 6)
				w.Changed("win-1", true)
				w.until(10.2)
				w.offers(13, 7)
				w.Changed("win-1", true)
				w.until(10.4)
				w.offers(14, 8)
				w.Changed("win-1", true)
			},
			want: []string{"10: wrote 12, 6 remain, since 0", "10: shows 12", "11: wrote 14, 8 remain, since 0", "11: shows 14"},
		},
		"less remains: that can wait": {
			do: func(w *world) {
				w.offers(12, 6)
				w.Changed("win-1", true)
				w.until(11)
				w.offers(12, 3)
				w.Changed("win-1", false)
				w.until(12)
				w.offers(12, 2)
				w.Changed("win-1", false)
			},
			want: []string{"10: wrote 12, 6 remain, since 0", "10: shows 12", "15: wrote 12, 2 remain, since 0", "15: shows 12"},
		},
		"less, then as much as before: that wakes pods that were turned away meanwhile": {
			do: func(w *world) {
				w.offers(10, 3)
				w.offers(10, 5)
				w.Changed("win-1", true)
			},
			want: []string{"10: wrote 10, 5 remain, since 10", "10: shows 10"},
		},
		"a nudge: one less for a second": {
			do:   func(w *world) { w.Nudge("win-1") },
			want: []string{"10: shows 9", "10: wrote 9, 5 remain, since 0", "10: shows 9", "11: wrote 10, 5 remain, since 0", "11: shows 10"},
		},
		"a nudge where nothing remains": {
			do: func(w *world) {
				w.offers(10, 0)
				w.Nudge("win-1")
				w.until(11)
				w.offers(10, 1)
				w.Changed("win-1", true)
			},
			want: []string{"10: wrote 10, 0 remain, since 0", "10: shows 10", "11: wrote 10, 1 remain, since 0", "11: shows 10"},
		},
		"renewed: the same figures are news": {
			do:   func(w *world) { w.Renew(); w.until(11); w.Changed("win-1", false) },
			want: []string{"11: wrote 10, 5 remain, since 11", "11: shows 10"},
		},
		"Slotwise is off for a while": {
			do: func(w *world) {
				w.set(func() { w.silent = true })
				w.offers(12, 6)
				w.Changed("win-1", true)
				w.until(12)
				w.set(func() { w.silent = false })
				w.Changed("win-1", false)
			},
			want: []string{"12: wrote 12, 6 remain, since 12", "12: shows 12"},
		},
		"another Node offers what the instance has": {
			do: func(w *world) {
				w.set(func() { w.figures.Offers = false })
				w.offers(3, 0)
				w.Changed("win-1", false)
			},
			want: []string{"10: wrote 3, 0 remain, since 0"},
		},
		"a write fails: growth is not forgotten": {
			do: func(w *world) {
				w.set(func() { w.err = errAPI })
				w.Changed("win-1", true)
				w.until(10.2)
				w.set(func() { w.err = nil })
			},
			want: []string{"10: cannot write 10", "10.5: wrote 10, 5 remain, since 10.5", "10.5: shows 10"},
		},
		"a write fails that shrinks: it may have been carried out": {
			do: func(w *world) {
				w.set(func() { w.err = errAPI })
				w.offers(8, 5)
				w.Changed("win-1", false)
				w.until(10.2)
				w.set(func() { w.err = nil })
			},
			want: []string{"10: shows 8", "10: cannot write 8", "10.5: wrote 8, 5 remain, since 0", "10.5: shows 8"},
		},
		"a nudge whose write fails": {
			do: func(w *world) {
				w.set(func() { w.err = errAPI })
				w.Nudge("win-1")
				w.until(10.2)
				w.set(func() { w.err = nil })
			},
			want: []string{
				"10: shows 9", "10: cannot write 9",
				"10.5: wrote 9, 5 remain, since 0", "10.5: shows 9",
				"11.5: wrote 10, 5 remain, since 0", "11.5: shows 10",
			},
		},
		"the Node has gone, and comes back": {
			do: func(w *world) {
				w.set(func() { w.err = notFound })
				w.Changed("win-1", true)
				w.until(20)
				w.set(func() { w.err = nil })
				w.Changed("win-1", false)
			},
			want: []string{"10: cannot write 10", "20: wrote 10, 5 remain, since 20", "20: shows 10"},
		},
		"a Node that nobody knows": {
			do: func(w *world) { w.Changed("win-2", true); w.Nudge("win-2") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Figures{Total: 10, Remaining: 5, Offers: true})
				w.Changed("win-1", true)
				w.until(10)
				w.want(t, "0: wrote 10, 5 remain, since 0", "0: shows 10")
				w.set(func() { w.log = nil })
				c.do(w)
				w.until(60)
				w.want(t, c.want...)
			})
		})
	}
}

// What a Node shows that is not what was written, at second 10.
func TestSeen(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world, n *corev1.Node)
		want   []string
	}{
		"as it was written": {
			change: func(*world, *corev1.Node) {},
			want:   []string{"10: shows 10"},
		},
		"a kubelet has registered again": {
			change: func(_ *world, n *corev1.Node) {
				n.Status.Capacity, n.Status.Allocatable = nil, nil
			},
			want: []string{"10: shows 0", "10: wrote 10, 5 remain, since 10", "10: shows 10"},
		},
		"an annotation was changed": {
			change: func(_ *world, n *corev1.Node) { n.Annotations[AnnotationRemaining] = "99" },
			want:   []string{"10: shows 10", "10: wrote 10, 5 remain, since 10", "10: shows 10"},
		},
		"Slotwise is off, or the node is not ready": {
			change: func(w *world, n *corev1.Node) {
				w.set(func() { w.silent = true })
				n.Status.Capacity, n.Status.Allocatable = nil, nil
			},
			want: []string{"10: shows 0"},
		},
		"the same, and then it is on, or ready": {
			change: func(w *world, n *corev1.Node) {
				w.set(func() { w.silent = true })
				n.Status.Capacity, n.Status.Allocatable = nil, nil
				w.Seen(n)
				w.set(func() { w.silent = false })
				w.Changed("win-1", false)
			},
			want: []string{"10: shows 0", "10: shows 0", "10: wrote 10, 5 remain, since 10", "10: shows 10"},
		},
		"another one, on which nothing was written yet": {
			change: func(_ *world, n *corev1.Node) { n.Name = "win-2" },
			want:   []string{"10: shows 10"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Figures{Total: 10, Remaining: 5, Offers: true})
				w.Changed("win-1", true)
				w.until(10)
				n := w.shows().DeepCopy()
				w.set(func() { w.log = nil })
				c.change(w, n)
				w.Seen(n)
				w.until(60)
				w.want(t, c.want...)
			})
		})
	}
}

// A node loses an address and gets it back while it is written: pods may have been turned
// away in between, so that is written, too.
func TestI8GrowthDuringAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Figures{Total: 10, Remaining: 5, Offers: true})
		w.options.Nodes = slow{w}
		w.Changed("win-1", false)
		w.until(0.1)
		w.Changed("win-1", true)
		w.until(10)
		w.want(t, "0.2: wrote 10, 5 remain, since 0", "0.2: shows 10", "0.4: wrote 10, 5 remain, since 0.2", "0.4: shows 10")
	})
}

// slow is an API server that takes 200 ms for a write.
type slow struct{ *world }

func (s slow) Advertise(ctx context.Context, node string, a kube.Advert) error {
	time.Sleep(200 * time.Millisecond)
	return s.world.Advertise(ctx, node, a)
}

// The lock is not held while the source is asked or told.
func TestNoLockIsHeldOverTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Figures{Total: 10, Remaining: 5, Offers: true})
		w.options.Source = asking{w}
		w.Changed("win-1", true)
		w.until(10)
		w.Seen(showing("win-1", 0, 0, ""))
		w.until(20)
		if total := quantity(w.shows().Status.Allocatable, vpc.Resource); total != 10 {
			t.Errorf("the Node shows %d", total)
		}
	})
}

// asking is a source that needs the lock whenever it is asked or told.
type asking struct{ *world }

func (a asking) Figures(node string) (Figures, bool) {
	a.Advertiser.note("win-2", false, false)
	return a.world.Figures(node)
}

func (a asking) Shows(node string, total int) {
	a.Advertiser.note("win-2", false, false)
	a.world.Shows(node, total)
}
