package history

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Shrinker looks for the part of a history that matters.
type Shrinker struct {
	// Fails plays a candidate and says whether it still goes wrong. Where what happens
	// depends on more than the history, it should play it several times.
	Fails func(context.Context, History) bool
	// Tell, where set, is told of progress.
	Tell func(string)
}

// Shrink returns a history that still fails, with as little in it as could be found until
// ctx ends. fails is when the history went wrong, since its beginning: what comes later
// goes first; 0: that is not known.
func (s Shrinker) Shrink(ctx context.Context, h History, fails time.Duration) History {
	try := func(what string, candidate History) bool {
		if ctx.Err() != nil || !s.Fails(ctx, candidate) {
			return false
		}
		h = candidate
		if s.Tell != nil {
			s.Tell(fmt.Sprintf("%s: %d steps, %d nodes, %s", what, len(h.Steps), len(h.Cluster.Nodes), h.Trouble))
		}
		return true
	}
	if fails > 0 {
		try("cut short", h.until(Duration(fails)+Duration(time.Second)))
	}
	for before := -1; before != len(h.Steps) && ctx.Err() == nil; {
		before = len(h.Steps)
		h = s.dropSteps(ctx, h, try)
		h = s.dropEnding(ctx, h, try)
		for _, c := range h.simpler() {
			try(c.what, c.make(h))
		}
	}
	return h
}

// dropSteps leaves out steps: by halves, then by quarters, and so on, at last one by one.
func (s Shrinker) dropSteps(ctx context.Context, h History, try func(string, History) bool) History {
	for size := (len(h.Steps) + 1) / 2; size > 0; size /= 2 {
		for end := len(h.Steps); end > 0 && ctx.Err() == nil; end -= size {
			candidate := h
			candidate.Steps = slices.Delete(slices.Clone(h.Steps), max(0, end-size), end)
			if try("left out", candidate) {
				h = candidate
			}
		}
	}
	return h
}

// dropEnding leaves out what happens at rest, from the last on.
func (s Shrinker) dropEnding(ctx context.Context, h History, try func(string, History) bool) History {
	for i := len(h.Ending) - 1; i >= 0 && ctx.Err() == nil; i-- {
		candidate := h
		candidate.Ending = slices.Delete(slices.Clone(h.Ending), i, i+1)
		if try("without an ending", candidate) {
			h = candidate
		}
	}
	return h
}

// until is the history as far as a time.
func (h History) until(end Duration) History {
	h.Trouble = min(h.Trouble, end)
	h.Steps = slices.DeleteFunc(slices.Clone(h.Steps), func(s Step) bool { return s.At >= end })
	return h
}

// change makes a history simpler.
type change struct {
	what string
	make func(History) History
}

// pause is the longest time without a step that is left.
const pause = Duration(40 * time.Second)

// simpler lists changes that may leave what matters. Each is made to what the one before
// has left.
func (h History) simpler() (all []change) {
	add := func(what string, f func(*History)) {
		all = append(all, change{what, func(h History) History {
			h = h.clone()
			f(&h)
			return h
		}})
	}
	add("shorter pauses", func(h *History) { h.closeUp() })
	for _, n := range h.Cluster.Nodes {
		add("without "+n.Name, func(h *History) {
			h.Cluster.Nodes = slices.DeleteFunc(h.Cluster.Nodes, func(x Node) bool { return x.Name == n.Name })
		})
	}
	for _, n := range h.Cluster.Subnets {
		add("without "+n.ID, func(h *History) {
			h.Cluster.Subnets = slices.DeleteFunc(h.Cluster.Subnets, func(x Subnet) bool { return x.ID == n.ID })
			h.Cluster.Nodes = slices.DeleteFunc(h.Cluster.Nodes, func(x Node) bool { return x.Subnet == n.ID })
		})
	}
	add("two replicas", func(h *History) { h.Cluster.Replicas = 2 })
	for i, step := range h.Steps {
		for step.Count > 1 {
			step.Count /= 2
			count := step.Count
			add("fewer at once", func(h *History) {
				if i < len(h.Steps) {
					h.Steps[i].Count = min(h.Steps[i].Count, count)
				}
			})
		}
		if step.Pod != nil {
			add("a plain pod", func(h *History) {
				if i < len(h.Steps) && h.Steps[i].Pod != nil {
					p := h.Steps[i].Pod
					h.Steps[i].Pod = &Pod{Name: p.Name, Plain: p.Plain, Bound: p.Bound, Only: p.Only, Priority: p.Priority}
				}
			})
		}
	}
	add("whole seconds", func(h *History) {
		for i := range h.Steps {
			h.Steps[i].At = Duration(h.Steps[i].At.D().Round(time.Second))
			h.Steps[i].For = Duration(h.Steps[i].For.D().Round(time.Second))
		}
	})
	return all
}

// closeUp shortens the times in which nothing is done.
func (h *History) closeUp() {
	gone, last := Duration(0), Duration(0)
	for i := range h.Steps {
		at := h.Steps[i].At - gone
		if at > last+pause {
			gone += at - last - pause
			at = last + pause
		}
		h.Steps[i].At, last = at, at
	}
	h.Trouble = min(h.Trouble-gone, last+pause)
}

// clone copies what a change may change.
func (h History) clone() History {
	h.Steps = slices.Clone(h.Steps)
	h.Cluster.Nodes, h.Cluster.Subnets = slices.Clone(h.Cluster.Nodes), slices.Clone(h.Cluster.Subnets)
	return h
}
