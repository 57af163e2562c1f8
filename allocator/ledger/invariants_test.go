package ledger

import (
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// histories is how many random histories a run tries.
const histories = "3000"

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(histories) // a number
	}
	os.Exit(m.Run())
}

// I1, I2, I3, I5, I6 and I10 on random histories: see actions for what may happen.
func TestInvariantsI1I2I3I5I6I10(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(w.actions())
		w.T = t
		w.settle()
	})
}

// actions is what may happen.
func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"": func(t *rapid.T) { w.T = t; w.check() },
		"a pod comes": func(t *rapid.T) {
			w.T = t
			if p := w.pod(); w.l.Counts().Remaining(w.slots) > 0 {
				if g, ok := w.l.Take(p); ok {
					w.given(g)
				} else {
					w.l.Wait(p)
				}
			}
		},
		"a pod of another scheduler comes": func(t *rapid.T) { w.T = t; w.l.Wait(w.pod()) },
		"a pod ends": func(t *rapid.T) {
			w.T = t
			p := w.anyPod()
			w.ended[w.live[p]] = w.now
			delete(w.live, p)
			w.l.End(p, w.now)
		},
		"a binding fails": func(t *rapid.T) {
			w.T = t
			p := w.anyPod()
			delete(w.live, p)
			w.l.Cancel(p, w.now)
		},
		"time passes": func(t *rapid.T) {
			w.T = t
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
			w.serve()
		},
		"the mode flips": func(t *rapid.T) { w.T = t; w.l.SetMode(other(w.l.mode)); w.serve() },
		"a call starts": func(t *rapid.T) {
			w.T = t
			want, room := rapid.IntRange(0, 16).Draw(t, "want"), rapid.IntRange(0, 16).Draw(t, "room")
			c, ok := w.l.Plan(want, room)
			if !ok {
				t.Skip("nothing to do")
			}
			if c.Count > room {
				t.Fatalf("I3: %d blocks planned, the subnet has %d", c.Count, room)
			}
			w.l.Begin(c)
			w.call = &c
		},
		"EC2 answers": func(t *rapid.T) {
			w.T = t
			w.mustHaveCall()
			if got := w.execute(); w.call.Assign() {
				w.l.Assigned(got, w.now)
			} else {
				w.l.Unassigned(w.now)
			}
			w.call = nil
			w.serve()
		},
		"EC2 refuses": func(t *rapid.T) {
			w.T = t
			w.mustHaveCall()
			w.l.Failed()
			w.call = nil
			w.serve()
		},
		"an answer is lost": func(t *rapid.T) {
			w.T = t
			w.mustHaveCall()
			if rapid.Bool().Draw(t, "done all the same") {
				w.execute()
			}
			w.l.Lost(w.now)
			w.call = nil
		},
		"a describe": func(t *rapid.T) {
			w.T = t
			w.describe(rapid.Bool().Draw(t, "stale"))
		},
		"the process restarts": func(t *rapid.T) {
			w.T = t
			w.restart(rapid.Bool().Draw(t, "with a promise"))
		},
		"another client takes a block away": func(t *rapid.T) {
			w.T = t
			if len(w.eni) == 0 {
				t.Skip("nothing there")
			}
			w.meddle = true
			i := rapid.IntRange(0, len(w.eni)-1).Draw(t, "which")
			delete(w.foreign, w.eni[i])
			w.change(slices.Delete(slices.Clone(w.eni), i, i+1))
		},
		"another client adds a block": func(t *rapid.T) {
			w.T = t
			if len(w.eni) >= w.slots {
				t.Skip("no slot")
			}
			w.meddle = true
			b := w.fresh(Kind(rapid.IntRange(0, 1).Draw(t, "kind")), w.eni)
			if slices.ContainsFunc(w.l.blocks, func(x *block) bool { return x.prefix.Overlaps(b) }) {
				t.Skip("taken away and put back between two looks: nobody can tell")
			}
			w.change(append(slices.Clone(w.eni), b))
			w.foreign[b] = w.now // who knows who had it a moment ago
		},
	}
}
