package apiserver

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// BoundPods lists and watches the pods that are on a node, for client-go's Reflector: it
// is allocator/kube.BoundPods.
func (c *Client) BoundPods() cache.ListerWatcher {
	return c.server.Pods().Via(c).ListerWatcher(func(p *corev1.Pod) bool { return p.Spec.NodeName != "" })
}

// ListerWatcher is for client-go's Reflector. match may be nil; see ListOptions.
func (r Remote[T]) ListerWatcher(match func(T) bool) cache.ListerWatcher {
	return listerWatcher[T]{r, match}
}

type listerWatcher[T Object] struct {
	remote Remote[T]
	match  func(T) bool
}

// IsWatchListSemanticsUnSupported has the Reflector list and then watch, as it does with
// an API server of before 1.34: such a list may be stale.
func (listerWatcher[T]) IsWatchListSemanticsUnSupported() bool { return true }

// List is that of cache.Lister.
func (l listerWatcher[T]) List(o metav1.ListOptions) (runtime.Object, error) {
	return l.ListWithContext(context.Background(), o)
}

// Watch is that of cache.Watcher.
func (l listerWatcher[T]) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return l.WatchWithContext(context.Background(), o)
}

// ListWithContext is that of cache.ListerWithContext.
func (l listerWatcher[T]) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	found, version, err := l.remote.List(ctx, ListOptions[T]{Version: o.ResourceVersion, Match: l.match})
	if err != nil {
		return nil, err
	}
	list := &objectList{ListMeta: metav1.ListMeta{ResourceVersion: version}, Items: make([]runtime.Object, len(found))}
	for i, x := range found {
		list.Items[i] = x
	}
	return list, nil
}

// WatchWithContext is that of cache.WatcherWithContext. The server ends a watch after the
// time that the client has asked for.
func (l listerWatcher[T]) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	cancel := func() {}
	if o.TimeoutSeconds != nil {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*o.TimeoutSeconds)*time.Second)
	}
	w, err := l.remote.Watch(ctx, ListOptions[T]{Version: o.ResourceVersion, Match: l.match})
	if err != nil {
		cancel()
		return nil, err
	}
	return &timedWatch{w, cancel}, nil
}

// timedWatch is a watch whose timer ends with it.
type timedWatch struct {
	watch.Interface
	cancel context.CancelFunc
}

func (w *timedWatch) Stop() {
	w.cancel()
	w.Interface.Stop()
}

// objectList is a list of objects of any kind.
type objectList struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []runtime.Object
}

// DeepCopyObject is that of runtime.Object. The items are shared: nobody changes them.
func (l *objectList) DeepCopyObject() runtime.Object {
	c := *l
	return &c
}
