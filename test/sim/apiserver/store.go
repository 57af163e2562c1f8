package apiserver

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// The history of a kind keeps the events of the last 75 s, and 100 in any case: a watch
// that begins before them is told to list anew.
// k8s.io/apiserver v0.37.2, pkg/storage/cacher/cacher.go (DefaultEventFreshDuration) and
// watch_cache_history.go (defaultLowerBoundCapacity).
const (
	historyWindow = 75 * time.Second
	historyLeast  = 100
)

// store is all that the API server keeps. An object that is in it is never written to.
type store struct {
	// writing is held over a transaction and its observers, so that these hear of all
	// commits in order. Observers may read: what they read is guarded by mu.
	writing   sync.Mutex
	observers []func(Event)
	budget    func(*corev1.Pod) bool // which pods must not be evicted; nil: none
	closed    bool
	made      uint64 // objects, for their UIDs and names

	mu      sync.Mutex
	version uint64 // of the last commit
	kinds   map[Kind]*objects
}

// objects are those of one kind, with their history.
type objects struct {
	now     map[types.NamespacedName]Object
	history []Event // oldest first
	dropped uint64  // the version of the last event that is no longer in history
	watches []*watcher
}

func newStore() *store {
	s := &store{kinds: map[Kind]*objects{}}
	for _, k := range []Kind{Pods, Nodes, NodeSlots, Leases, ConfigMaps, Deployments} {
		s.kinds[k] = &objects{now: map[types.NamespacedName]Object{}}
	}
	return s
}

func (s *store) get(k Kind, key types.NamespacedName) (Object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.kinds[k].now[key]
	return o, ok
}

func (s *store) last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// list lists the objects of a kind that match as they were at a time, and the version
// of that state.
func (s *store) list(k Kind, at time.Time, match func(Object) bool) ([]Object, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects, version := s.kinds[k], s.version
	before := map[types.NamespacedName]Object{} // of what has changed since
	for i := len(objects.history) - 1; i >= 0 && objects.history[i].At.After(at); i-- {
		e := objects.history[i]
		before[keyOf(e.New)] = e.Old
		version = e.Version - 1
	}
	var found []Object
	add := func(o Object) {
		if o != nil && (match == nil || match(o)) {
			found = append(found, o)
		}
	}
	for key, o := range objects.now {
		if _, changed := before[key]; !changed {
			add(o)
		}
	}
	for _, o := range before {
		add(o)
	}
	slices.SortFunc(found, byName)
	return found, version
}

func byName(a, b Object) int {
	return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}

// put makes o the current object of its name. Caller holds s.writing, and gives o away.
func (s *store) put(k Kind, o Object, by string) {
	s.mu.Lock()
	e := Event{Kind: k, Type: watch.Added, New: o, At: time.Now(), By: by}
	if old, exists := s.kinds[k].now[keyOf(o)]; exists {
		e.Type, e.Old = watch.Modified, old
	}
	s.kinds[k].now[keyOf(o)] = o
	s.commitLocked(&e)
	s.mu.Unlock()
	s.observed(e)
}

// remove ends an object. last is a copy of it, which is given away. Caller holds s.writing.
func (s *store) remove(k Kind, last Object, by string) {
	s.mu.Lock()
	e := Event{Kind: k, Type: watch.Deleted, Old: s.kinds[k].now[keyOf(last)], New: last, At: time.Now(), By: by}
	delete(s.kinds[k].now, keyOf(last))
	s.commitLocked(&e)
	s.mu.Unlock()
	s.observed(e)
}

// commitLocked gives a commit its version, and tells the watches. Caller holds s.mu.
func (s *store) commitLocked(e *Event) {
	s.version++
	e.Version = s.version
	e.New.SetResourceVersion(strconv.FormatUint(s.version, 10))
	o := s.kinds[e.Kind]
	o.history = append(o.history, *e)
	o.forget(e.At)
	for _, w := range o.watches {
		w.offer(*e)
	}
}

// observed tells the observers. Caller holds s.writing.
func (s *store) observed(e Event) {
	for _, f := range s.observers {
		f(e)
	}
}

// forget drops what is old, once that is half of the history or more.
func (o *objects) forget(now time.Time) {
	most := len(o.history) - historyLeast
	if most < historyLeast {
		return
	}
	old, _ := slices.BinarySearchFunc(o.history, now.Add(-historyWindow), func(e Event, t time.Time) int { return e.At.Compare(t) })
	if old = min(old, most); old < len(o.history)/2 {
		return
	}
	o.dropped = o.history[old-1].Version
	o.history = slices.Clone(o.history[old:])
}

// since lists the events after a version; false: they are no longer known. Caller holds
// the store's mu.
func (o *objects) since(version uint64) ([]Event, bool) {
	if version < o.dropped {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(o.history, version+1, func(e Event, v uint64) int { return cmp.Compare(e.Version, v) })
	return o.history[i:], true
}
