package apiserver

import (
	"context"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// The pauses of an informer between two attempts to list or watch: client-go v0.37.2,
// tools/cache/reflector.go (defaultBackoffInit, defaultBackoffMax).
const (
	firstPause = 800 * time.Millisecond
	lastPause  = 30 * time.Second
)

// Informer is a cache of objects, as far as its watch has told.
type Informer[T Object] struct {
	remote  Remote[T]
	match   func(T) bool
	changed func(old, now T)
	synced  chan struct{}
	ended   chan struct{}

	version string // that it has come to; of its own goroutine

	mu  sync.Mutex
	has map[types.NamespacedName]T
}

// Informer follows objects until ctx ends: it lists, watches, and lists anew where it
// must. match may be nil; see ListOptions. changed is called in the informer's goroutine,
// one call at a time, once its own state has changed: with no old one for what appeared,
// and with no new one for what went. It may be nil.
func (r Remote[T]) Informer(ctx context.Context, match func(T) bool, changed func(old, now T)) *Informer[T] {
	i := &Informer[T]{
		remote: r, match: match, changed: changed, version: "0",
		synced: make(chan struct{}), ended: make(chan struct{}), has: map[types.NamespacedName]T{},
	}
	go func() {
		defer close(i.ended)
		i.run(ctx)
	}()
	return i
}

// Synced is closed once the first list has been taken in.
func (i *Informer[T]) Synced() <-chan struct{} { return i.synced }

// Ended is closed once the informer has ended.
func (i *Informer[T]) Ended() <-chan struct{} { return i.ended }

// Get finds an object in the cache.
func (i *Informer[T]) Get(key types.NamespacedName) (T, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	o, ok := i.has[key]
	return o, ok
}

// List lists the cache in order of names.
func (i *Informer[T]) List() []T {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := make([]T, 0, len(i.has))
	for _, o := range i.has {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b T) int { return byName(a, b) })
	return list
}

// run lists, and then watches for as long as it can, again and again.
func (i *Informer[T]) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		if i.relist(ctx) && i.follow(ctx) {
			pause = firstPause
		}
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, lastPause)
	}
}

// relist takes in a list; false: there was none.
func (i *Informer[T]) relist(ctx context.Context) bool {
	found, version, err := i.remote.List(ctx, ListOptions[T]{Version: i.version, Match: i.match})
	if err != nil {
		return false
	}
	i.version = version
	listed := map[types.NamespacedName]bool{}
	for _, o := range found {
		listed[keyOf(o)] = true
		i.take(keyOf(o), o)
	}
	for _, o := range i.List() {
		if !listed[keyOf(o)] {
			i.drop(keyOf(o))
		}
	}
	select {
	case <-i.synced:
	default:
		close(i.synced)
	}
	return true
}

// follow watches, and begins the watch anew where it was cut, until a list is needed. It
// says whether there was an event.
func (i *Informer[T]) follow(ctx context.Context) (heard bool) {
	pause := firstPause
	for ctx.Err() == nil {
		w, err := i.remote.Watch(ctx, ListOptions[T]{Version: i.version, Match: i.match})
		switch {
		case apierrors.IsResourceExpired(err):
			return heard
		case err != nil:
			if !sleep(ctx, pause) {
				return heard
			}
			pause = min(2*pause, lastPause)
			continue
		}
		for e := range w.ResultChan() {
			i.apply(e)
			heard, pause = true, firstPause
		}
		if !sleep(ctx, time.Millisecond) { // a watch that is cut at once is no busy loop
			return heard
		}
	}
	return heard
}

func (i *Informer[T]) apply(e watch.Event) {
	o := e.Object.(T)
	i.version = o.GetResourceVersion()
	if e.Type == watch.Deleted {
		i.drop(keyOf(o))
		return
	}
	i.take(keyOf(o), o)
}

// take makes o what is known under its name.
func (i *Informer[T]) take(key types.NamespacedName, o T) {
	i.mu.Lock()
	old, had := i.has[key]
	i.has[key] = o
	i.mu.Unlock()
	if i.changed != nil && (!had || old.GetResourceVersion() != o.GetResourceVersion()) {
		i.changed(old, o)
	}
}

// drop forgets what is known under a name.
func (i *Informer[T]) drop(key types.NamespacedName) {
	i.mu.Lock()
	old, had := i.has[key]
	delete(i.has, key)
	i.mu.Unlock()
	if had && i.changed != nil {
		i.changed(old, as[T](nil))
	}
}
