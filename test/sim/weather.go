package sim

import (
	"maps"
	"slices"
	"time"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// weather is how all links to the API server are: good, and what has been changed of that
// and lasts.
type weather struct {
	links []link
	now   map[int]change // by the order in which they came
	next  int
}

// link is one of them, with what it has of its own.
type link struct {
	*apiserver.Link
	own change
}

// change makes conditions worse.
type change func(*apiserver.Conditions)

func asUsual(*apiserver.Conditions) {}

// lagging has watches be further behind.
func lagging(d time.Duration) change {
	return func(c *apiserver.Conditions) {
		c.Lag.Min += d / 2
		c.Lag.Max += d
	}
}

func (w *weather) conditions(own change) apiserver.Conditions {
	c := apiserver.Healthy()
	own(&c)
	for _, n := range slices.Sorted(maps.Keys(w.now)) {
		w.now[n](&c)
	}
	return c
}

func (w *weather) apply() {
	for _, l := range w.links {
		l.Set(w.conditions(l.own))
	}
}

// newLink makes a link that is as the weather is.
func (s *system) newLink(name string, gate apiserver.Gate, own change) *apiserver.Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.weather.next++
	l := apiserver.NewLink(apiserver.LinkOptions{
		Name: name, Seed: s.h.Seed + uint64(s.weather.next), Gate: gate, Conditions: s.weather.conditions(own),
	})
	s.weather.links = append(s.weather.links, link{l, own})
	return l
}

func (s *system) forgetLink(l *apiserver.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.weather.links = slices.DeleteFunc(s.weather.links, func(x link) bool { return x.Link == l })
}

// worsen changes all links until undo.
func (s *system) worsen(c change) (undo func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.weather.next++
	n := s.weather.next
	s.weather.now[n] = c
	s.weather.apply()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.weather.now, n)
		s.weather.apply()
	}
}

// cutAll ends all watches.
func (s *system) cutAll() {
	s.mu.Lock()
	links := slices.Clone(s.weather.links)
	s.mu.Unlock()
	for _, l := range links {
		l.Cut()
	}
}
