package apiserver

import (
	"context"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// Remote is the access of a client to the objects of one kind, over its link. Errors are
// those of client-go: apierrors where the API server answered, else those of the network
// or of ctx, after which a write may have been done.
type Remote[T Object] struct {
	client *Client
	kind   Kind
}

// ListOptions choose what is listed or watched.
type ListOptions[T Object] struct {
	// Version is metav1.ListOptions.ResourceVersion: for a list, "0" takes any state that
	// is at hand, "" the newest, and another one what is not older. For a watch, events
	// after it; "0" and "" begin with all objects.
	Version string
	// Match chooses objects; nil: all. It is called with locks held: it must be quick,
	// and look at nothing but the object.
	Match func(T) bool
}

func (o ListOptions[T]) match() func(Object) bool {
	if o.Match == nil {
		return nil
	}
	return func(x Object) bool { return o.Match(x.(T)) }
}

// Get reads an object as it is now.
func (r Remote[T]) Get(ctx context.Context, key types.NamespacedName) (T, error) {
	return send(ctx, r.client, reading, func() (T, error) {
		o, ok := r.client.server.store.get(r.kind, key)
		if !ok {
			return as[T](nil), apierrors.NewNotFound(r.kind.resource(), key.Name)
		}
		return o.(T), nil
	})
}

// page is what a list answers.
type page struct {
	objects []Object
	version uint64
}

// List lists objects in order of their names, and the version of the list.
func (r Remote[T]) List(ctx context.Context, o ListOptions[T]) ([]T, string, error) {
	p, err := r.list(ctx, o)
	if err != nil {
		return nil, "", err
	}
	return all[T](p.objects), strconv.FormatUint(p.version, 10), nil
}

// list answers out of the watch cache: with a state that is a while ago only where that
// was asked for, and is not older than what was asked for. k8s.io/apiserver v0.37.2,
// pkg/storage/cacher/delegator/interface.go (ShouldDelegateList).
func (r Remote[T]) list(ctx context.Context, o ListOptions[T]) (page, error) {
	return send(ctx, r.client, reading, func() (page, error) {
		store, now := r.client.server.store, time.Now()
		if o.Version == "" {
			found, version := store.list(r.kind, now, o.match())
			return page{found, version}, nil
		}
		least, err := strconv.ParseUint(o.Version, 10, 64)
		if err != nil {
			return page{}, apierrors.NewBadRequest("invalid resource version: " + o.Version)
		}
		found, version := store.list(r.kind, now.Add(-r.client.link.staleness()), o.match())
		if version < least {
			found, version = store.list(r.kind, now, o.match())
		}
		return page{found, version}, nil
	})
}

// Create is Table.Create.
func (r Remote[T]) Create(ctx context.Context, o T) (T, error) {
	sent := o.DeepCopyObject().(T)
	return r.write(ctx, func(t transaction) (Object, error) { return t.create(r.kind, sent.DeepCopyObject().(T)) })
}

// Update replaces an object. Where o has a version and that is not the object's, it is a
// conflict; so it is where o has another UID.
func (r Remote[T]) Update(ctx context.Context, o T) (T, error) {
	sent := o.DeepCopyObject().(T)
	return r.write(ctx, func(t transaction) (Object, error) { return t.update(r.kind, sent.DeepCopyObject().(T)) })
}

// Change is a patch: change is made to the object as it is when the request is carried
// out, which may be after Change has returned. It may return ErrUnchanged. uid is that of
// the patch, which is refused as invalid where the object has another one; empty: none.
func (r Remote[T]) Change(ctx context.Context, key types.NamespacedName, uid types.UID, change func(T) error) (T, error) {
	return r.write(ctx, func(t transaction) (Object, error) {
		return t.change(r.kind, key, uid, func(o Object) error { return change(o.(T)) })
	})
}

// Delete is Table.Delete.
func (r Remote[T]) Delete(ctx context.Context, key types.NamespacedName, d Deletion) error {
	return r.client.write(ctx, func(t transaction) error { return t.delete(r.kind, key, d) })
}

func (r Remote[T]) write(ctx context.Context, do func(transaction) (Object, error)) (T, error) {
	t := writing
	if r.kind == Leases {
		t = renewing
	}
	return send(ctx, r.client, t, func() (T, error) {
		return transacted[T](r.client.server.store, r.client.link.name, do)
	})
}

// write sends a request that has no result.
func (c *Client) write(ctx context.Context, do func(transaction) error) error {
	_, err := send(ctx, c, writing, func() (struct{}, error) {
		return struct{}{}, c.server.store.transact(c.link.name, do)
	})
	return err
}
