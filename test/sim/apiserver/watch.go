package apiserver

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
)

// watcher is one watch. Events queue up in it; its goroutine delivers each when it is due.
type watcher struct {
	client  *Client
	match   func(Object) bool // nil: all
	results chan watch.Event
	done    chan struct{} // closed by Stop
	stop    func()
	wake    chan struct{} // takes one; something is in the queue

	mu    sync.Mutex
	queue []delivery
}

// delivery is an event of a watch, and when it is due; in order, whichever is due first.
type delivery struct {
	event watch.Event
	due   time.Time
}

// Watch begins a watch. It ends by Stop, by the end of ctx, or when it is cut; its channel
// is closed then.
func (r Remote[T]) Watch(ctx context.Context, o ListOptions[T]) (watch.Interface, error) {
	var opened []*watcher // by attempts whose answer was lost, too
	w, err := send(ctx, r.client, reading, func() (*watcher, error) {
		w, err := r.client.watch(r.kind, o.Version, o.match())
		if err == nil {
			opened = append(opened, w)
		}
		return w, err
	})
	for _, x := range opened {
		if x != w || err != nil {
			r.client.close(r.kind, x)
		}
	}
	if err != nil {
		return nil, err
	}
	unhook := context.AfterFunc(ctx, w.Stop)
	go func() {
		w.run()
		unhook()
		r.client.close(r.kind, w)
	}()
	return w, nil
}

// close forgets a watch.
func (c *Client) close(k Kind, w *watcher) {
	w.Stop()
	c.server.store.unwatch(k, w)
	c.link.drop(w)
}

// watch opens a watch after a version.
func (c *Client) watch(k Kind, version string, match func(Object) bool) (*watcher, error) {
	w := &watcher{client: c, match: match, results: make(chan watch.Event), done: make(chan struct{}), wake: make(chan struct{}, 1)}
	w.stop = sync.OnceFunc(func() { close(w.done) })
	if version == "" || version == "0" {
		c.server.store.watchAll(k, w)
	} else {
		after, err := strconv.ParseUint(version, 10, 64)
		if err != nil {
			return nil, apierrors.NewBadRequest("invalid resource version: " + version)
		}
		if c.link.chance(c.link.Conditions().Expire) || !c.server.store.watch(k, w, after) {
			return nil, apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d", after))
		}
	}
	c.link.keep(w)
	return w, nil
}

// watch opens a watch after a version; false: the events since then are no longer known.
func (s *store) watch(k Kind, w *watcher, after uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	missed, known := s.kinds[k].since(after)
	if !known {
		return false
	}
	for _, e := range missed {
		w.offer(e)
	}
	s.kinds[k].watches = append(s.kinds[k].watches, w)
	return true
}

// watchAll opens a watch that begins with all objects.
func (s *store) watchAll(k Kind, w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.kinds[k].now {
		w.offer(Event{Kind: k, Type: watch.Added, New: o, At: time.Now()})
	}
	s.kinds[k].watches = append(s.kinds[k].watches, w)
}

func (s *store) unwatch(k Kind, w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.kinds[k]
	o.watches = slices.DeleteFunc(slices.Clone(o.watches), func(x *watcher) bool { return x == w })
}

// cut ends all watches of all clients.
func (s *store) cut() {
	s.mu.Lock()
	var all []*watcher
	for _, o := range s.kinds {
		all = append(all, o.watches...)
	}
	s.mu.Unlock()
	for _, w := range all {
		w.Stop()
	}
}

// Stop is that of watch.Interface.
func (w *watcher) Stop() { w.stop() }

// ResultChan is that of watch.Interface.
func (w *watcher) ResultChan() <-chan watch.Event { return w.results }

// seen is an event as this watch shows it: what comes into its choice is added, what goes
// out of it is deleted. k8s.io/apiserver v0.37.2, pkg/storage/cacher/cache_watcher.go
// (convertToWatchEvent).
func (w *watcher) seen(e Event) (shown watch.Event, matters bool) {
	is := e.Type != watch.Deleted && (w.match == nil || w.match(e.New))
	was := e.Old != nil && (w.match == nil || w.match(e.Old))
	switch {
	case is && was:
		return watch.Event{Type: watch.Modified, Object: e.New}, true
	case is:
		return watch.Event{Type: watch.Added, Object: e.New}, true
	case was && e.Type == watch.Deleted:
		return watch.Event{Type: watch.Deleted, Object: e.New}, true
	case was:
		last := e.Old.DeepCopyObject().(Object)
		last.SetResourceVersion(e.New.GetResourceVersion())
		return watch.Event{Type: watch.Deleted, Object: last}, true
	}
	return watch.Event{}, false
}

// offer queues an event.
func (w *watcher) offer(e Event) {
	shown, matters := w.seen(e)
	if !matters {
		return
	}
	d := delivery{shown, time.Now().Add(w.client.link.lag())}
	w.mu.Lock()
	w.queue = append(w.queue, d)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run delivers until the watch ends.
func (w *watcher) run() {
	defer close(w.results)
	for {
		select {
		case <-w.done:
			return
		case <-w.wake:
		}
		for _, d := range w.take() {
			if !w.deliver(d) {
				w.Stop()
				return
			}
		}
	}
}

func (w *watcher) take() []delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.queue
	w.queue = nil
	return all
}

// deliver brings one event to the process; false: the watch has ended.
func (w *watcher) deliver(d delivery) bool {
	if !w.until(d.due) || !w.connected() || w.client.link.chance(w.client.link.Conditions().CutWatch) {
		return false
	}
	if w.client.link.leave() != nil {
		return false
	}
	select {
	case w.results <- d.event:
		return true
	case <-w.done:
		return false
	}
}

// until waits for a time; false: the watch has ended before.
func (w *watcher) until(t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.done:
		return false
	}
}

// connected waits while the network is parted or the server frozen; false: the watch has
// ended before.
func (w *watcher) connected() bool {
	for _, c := range []<-chan struct{}{w.client.link.partition(), w.client.server.stopped()} {
		if c == nil {
			continue
		}
		select {
		case <-c:
		case <-w.done:
			return false
		}
	}
	return true
}
