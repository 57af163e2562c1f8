package apiserver

import (
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// ErrUnchanged is what a change returns that found nothing to do: nothing is written,
// and there is no error.
var ErrUnchanged = errors.New("unchanged")

// Table is the exact access to the objects of one kind, at once and without faults.
type Table[T Object] struct {
	server *Server
	kind   Kind
}

// Get finds an object as it is now.
func (t Table[T]) Get(key types.NamespacedName) (T, bool) {
	o, ok := t.server.store.get(t.kind, key)
	return as[T](o), ok
}

// List lists all objects in order of their names.
func (t Table[T]) List() []T {
	found, _ := t.server.store.list(t.kind, time.Now(), nil)
	return all[T](found)
}

// Create adds a copy of o, with a UID, a creation time and a version of its own. A name is
// made from GenerateName where there is none.
func (t Table[T]) Create(o T) (T, error) {
	o = o.DeepCopyObject().(T)
	return transacted[T](t.server.store, "", func(tx transaction) (Object, error) { return tx.create(t.kind, o) })
}

// Change changes an object as it is now. uid is a precondition; empty: none. change gets
// a copy, must not wait, and may refuse: its error comes back.
func (t Table[T]) Change(key types.NamespacedName, uid types.UID, change func(T) error) (T, error) {
	return transacted[T](t.server.store, "", func(tx transaction) (Object, error) {
		return tx.change(t.kind, key, uid, func(o Object) error { return change(o.(T)) })
	})
}

// Delete deletes an object: a pod on a node only once it has stopped, see Deletion.
func (t Table[T]) Delete(key types.NamespacedName, d Deletion) error {
	return t.server.store.transact("", func(tx transaction) error { return tx.delete(t.kind, key, d) })
}

// Via is the same kind as a client sees it.
func (t Table[T]) Via(c *Client) Remote[T] { return Remote[T]{client: c, kind: t.kind} }

// transacted runs a transaction that has a result.
func transacted[T Object](s *store, by string, do func(transaction) (Object, error)) (result T, err error) {
	err = s.transact(by, func(tx transaction) error {
		o, err := do(tx)
		result = as[T](o)
		return err
	})
	return result, err
}

// as is an object as what it is; nil where there is none.
func as[T Object](o Object) T {
	t, _ := o.(T)
	return t
}

func all[T Object](objects []Object) []T {
	list := make([]T, len(objects))
	for i, o := range objects {
		list[i] = o.(T)
	}
	return list
}
