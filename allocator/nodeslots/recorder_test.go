package nodeslots

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// How the object follows the node. Each case begins at second ten, with both addresses
// listed.
func TestDisplay(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(w *world)
		want []string
	}{
		"nothing has changed": {
			do: func(w *world) { w.Changed("win-1") },
		},
		"changes of a second are one write": {
			do: func(w *world) {
				w.node.set(func() { w.node.inUse = 1 })
				w.Changed("win-1")
				w.until(10.5)
				w.node.set(func() { w.node.inUse = 2 })
				w.Changed("win-1")
				w.until(12)
				w.node.set(func() { w.node.inUse = 3 })
				w.Changed("win-1")
			},
			want: []string{
				"11: win-1 in use 2 free 10.0.0.1/32 10.0.0.2/32",
				"13: win-1 in use 3 free 10.0.0.1/32 10.0.0.2/32",
			},
		},
		"addresses are given: the list comes back once the node is still": {
			do: func(w *world) {
				_, _ = w.bind(w.ctx)
				w.Changed("win-1")
			},
			want: []string{"10: win-1 in use 1 free", "15: win-1 in use 1 free 10.0.0.2/32"},
		},
		"a burst costs one write, and one once it is over": {
			do: func(w *world) {
				for range 2 {
					_, _ = w.bind(w.ctx)
					w.Changed("win-1")
					w.until(12)
				}
				w.node.gives("10.0.0.1/32")
				w.Changed("win-1")
			},
			want: []string{"10: win-1 in use 1 free", "17: win-1 in use 1 free 10.0.0.1/32"},
		},
		"it is read anew": {
			do: func(w *world) {
				w.node.set(func() { w.node.ready = false })
				w.Changed("win-1")
			},
		},
		"a Node that nobody knows": {
			do: func(w *world) { w.Changed("win-9") },
		},
		"a Node of the instance that does not offer its capacity has an object": {
			do: func(w *world) {
				w.another("win-2", "10.0.0.9/32")
				w.Changed("win-2")
			},
			want: []string{"11: win-2 removed"},
		},
		"a write fails": {
			do: func(w *world) {
				w.fails(once(refused))
				w.node.set(func() { w.node.inUse = 1 })
				w.Changed("win-1")
			},
			want: []string{"11.5: win-1 in use 1 free 10.0.0.1/32 10.0.0.2/32"},
		},
		"another client has changed it": {
			do: func(w *world) {
				w.another("win-1")
				w.node.set(func() { w.node.inUse = 1 })
				w.Changed("win-1")
			},
			want: []string{"11: win-1 in use 1 free 10.0.0.1/32 10.0.0.2/32"},
		},
		"another client has removed it": {
			do: func(w *world) {
				_ = w.Remove(w.ctx, "win-1")
				w.node.set(func() { w.node.inUse = 1 })
				w.Changed("win-1")
			},
			want: []string{"10: win-1 removed", "11: win-1 in use 1 free 10.0.0.1/32 10.0.0.2/32"},
		},
		"another client has changed it, and then a write fails": {
			do: func(w *world) {
				w.another("win-1", "10.0.0.9/32")
				requests := 0
				w.fails(func(string) fate {
					if requests++; requests == 2 {
						return refused
					}
					return done
				})
				_, _ = w.bind(w.ctx) // fails
				w.node.set(func() { w.node.free, w.node.given = []string{"10.0.0.1/32", "10.0.0.2/32"}, time.Time{} })
				w.Changed("win-1")
			},
			want: []string{"11: win-1 in use 0 free 10.0.0.1/32 10.0.0.2/32"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := listed(t)
				c.do(w)
				w.until(60)
				w.want(t, c.want...)
			})
		})
	}
}

// What the cluster shows of the object, once it has been there since second one.
func TestSeen(t *testing.T) {
	const written = "10.0.0.1/32 10.0.0.2/32"
	for name, c := range map[string]struct {
		do   func(w *world)
		want []string
	}{
		"what was written": {
			do: func(w *world) { o, _ := w.of("win-1"); w.object.Seen(text(o.version)) },
		},
		"what was there before: that news is late": {
			do: func(w *world) { w.object.Seen("1") },
		},
		"another client has changed it": {
			do:   func(w *world) { w.object.Seen(w.another("win-1", "10.0.0.9/32")) },
			want: []string{"11: win-1 in use 0 free " + written},
		},
		"another client has removed it": {
			do: func(w *world) {
				_ = w.Remove(w.ctx, "win-1")
				w.object.Seen("")
			},
			want: []string{"10: win-1 removed", "11: win-1 in use 0 free " + written},
		},
		"it was changed, and written anew by then": {
			do: func(w *world) {
				version := w.another("win-1", "10.0.0.9/32")
				_ = w.object.TakeBack(w.ctx)
				w.object.Seen(version)
			},
			want: []string{"10: win-1 in use 0 free", "11: win-1 in use 0 free " + written},
		},
		"a write that is under way": {
			do: func(w *world) {
				w.takes = 3 * time.Second
				w.node.set(func() { w.node.inUse = 1 })
				w.Changed("win-1")
				w.until(13.9)
				o, _ := w.of("win-1")
				w.object.Seen(text(o.version + 1)) // as it will be, before its answer
			},
			want: []string{"14: win-1 in use 1 free " + written},
		},
		"it is not known yet what was written": {
			do: func(w *world) {
				w.object = w.Object(w.node)
				w.object.Seen("99")
			},
			want: []string{"11: win-1 in use 0 free " + written},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := listed(t)
				c.do(w)
				w.until(60)
				w.want(t, c.want...)
			})
		})
	}
}

// Another Node of the instance comes to offer its capacity.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := listed(t)
		w.node.set(func() { w.node.name = "win-2" })
		w.Changed("win-2")
		w.Changed("win-1")
		w.until(20)
		w.want(t, "11: win-1 removed", "11: win-2 in use 0 free 10.0.0.1/32 10.0.0.2/32")

		w.node.set(func() { w.node.name = "win-1" })
		if _, err := w.bind(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.want(t, "20: win-2 removed", "20: win-1 in use 1 free")
	})
}

// Where the object of the one before cannot be removed, its list stands.
func TestFollowFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := listed(t)
		w.node.set(func() { w.node.name = "win-2" })
		w.fails(always(refused))
		if _, err := w.bind(t.Context()); err == nil {
			t.Error("an address is given that is on the list of the other Node")
		}
		w.fails(nil)
		w.Changed("win-2")
		w.until(20)
		w.want(t, "11: win-1 removed", "11: win-2 in use 0 free", "15: win-2 in use 0 free 10.0.0.2/32 10.0.0.1/32")
	})
}

// The Node that comes to offer the capacity has a list from before. While it is not written
// over, nothing is given.
func TestI2FollowFindsAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := listed(t)
		if err := w.object.TakeBack(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.another("win-2", "10.0.0.1/32", "10.0.0.2/32")
		w.node.set(func() { w.node.name, w.node.given = "win-2", time.Now() })
		w.fails(func(verb string) fate {
			if verb == "write" {
				return refused
			}
			return done
		})
		w.Changed("win-2")
		w.until(11.2)
		if _, err := w.bind(t.Context()); err == nil {
			t.Error("an address is given that is on the list of the other Node")
		}
		w.fails(nil)
		if _, err := w.bind(t.Context()); err != nil {
			t.Error(err)
		}
		w.want(t, "10: win-1 in use 0 free", "11: win-1 removed", "11.2: win-2 in use 1 free")
	})
}

// A leader that ends leaves lists to the next one, however short the nodes have been still.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := listed(t)
		if _, err := w.bind(t.Context()); err != nil {
			t.Fatal(err)
		}
		other := &node{name: "win-2", ready: true, free: []string{"10.0.1.1/32"}}
		unready := &node{name: "win-3"}
		w.Close(t.Context(), []*Object{w.object, w.Object(unready), w.Object(other)})
		one, _ := w.of("win-1")
		two, _ := w.of("win-2")
		if _, there := w.of("win-3"); there || len(one.status.KnownFree) != 1 || len(two.status.KnownFree) != 1 {
			t.Errorf("the lists are %v and %v", one.status.KnownFree, two.status.KnownFree)
		}
	})
}

// Close takes no longer than it may, though the API server does not answer.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.takes = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		w.Close(ctx, []*Object{w.object, w.Object(w.node)})
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// A condition has the time since when it is as it is, whoever writes it: a bind, the queue, or
// the next leader.
func TestConditionsAreDated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.node.converged = metav1.ConditionFalse
		since := func() float64 {
			o, _ := w.of("win-1")
			if len(o.status.Conditions) != 1 {
				t.Fatalf("the conditions are %+v", o.status.Conditions)
			}
			return o.status.Conditions[0].LastTransitionTime.Sub(w.start).Seconds()
		}
		for _, step := range []struct {
			what string
			do   func()
			want float64 // seconds
		}{
			{"first written", func() {}, 1},
			{"other figures", func() { w.node.set(func() { w.node.inUse = 1 }) }, 1},
			{"a bind", func() { _, _ = w.bind(w.ctx) }, 1},
			{"the next leader, other figures", func() {
				w.object = w.Object(w.node)
				w.object.Known(w.ctx, "eni-1", true)
				w.node.set(func() { w.node.inUse = 3 })
			}, 1},
			{"another status", func() { w.node.set(func() { w.node.converged = metav1.ConditionTrue }) }, 41},
		} {
			step.do()
			w.Changed("win-1")
			w.until(math.Ceil(time.Since(w.start).Seconds()/10)*10 + 10)
			if got := since(); got != step.want {
				t.Errorf("%s: it is so since second %v, want %v", step.what, got, step.want)
			}
		}
	})
}
