package history

import (
	"context"
	"slices"
	"testing"
	"time"
)

// A history fails that crashes the leader after a pod has come to the second node.
func TestShrink(t *testing.T) {
	h := New(5)
	h.Cluster.Nodes = []Node{{Name: "node-0"}, {Name: "node-1"}, {Name: "node-2"}}
	h.Trouble = Duration(longest)
	h.Steps = slices.DeleteFunc(h.Steps, func(s Step) bool { return s.Act == Crash })
	h.Steps = append(h.Steps,
		Step{At: Duration(31 * time.Minute), Act: Create, Count: 9, Pod: &Pod{Name: "x", Only: "node-1", Starts: 3}},
		Step{At: Duration(35 * time.Minute), Act: Crash, On: Leader},
	)
	slices.SortStableFunc(h.Steps, func(a, b Step) int { return int(a.At - b.At) })
	played := 0
	fails := func(_ context.Context, h History) bool {
		played++
		there, came := slices.ContainsFunc(h.Cluster.Nodes, func(n Node) bool { return n.Name == "node-1" }), false
		for _, s := range h.Steps {
			came = came || s.Act == Create && s.Pod.Only == "node-1" && s.Count > 3
			if came && there && s.Act == Crash {
				return true
			}
		}
		return false
	}
	got := Shrinker{Fails: fails}.Shrink(t.Context(), h, 35*time.Minute)
	if !fails(t.Context(), got) || len(got.Steps) != 2 || len(got.Cluster.Nodes) != 1 {
		t.Fatalf("left is\n%s", got)
	}
	if got.Steps[0].Count != 4 || got.Steps[0].Pod.Starts != 0 || got.Trouble > Duration(3*time.Minute) {
		t.Errorf("more is left than has to be:\n%s", got)
	}
	t.Logf("%d histories were played, left is\n%s", played, got)
}

// A history that fails always has nothing left; the end of ctx ends the search.
func TestShrinkEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	played := 0
	Shrinker{Fails: func(context.Context, History) bool {
		if played++; played == 10 {
			cancel()
		}
		return false
	}}.Shrink(ctx, New(1), 0)
	if played != 10 {
		t.Errorf("%d histories were played after the end", played-10)
	}
	if got := (Shrinker{Fails: func(context.Context, History) bool { return true }}).Shrink(t.Context(), New(1), 0); len(got.Steps) > 0 {
		t.Errorf("left is\n%s", got)
	}
}
