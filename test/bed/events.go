package bed

import (
	"context"
	"errors"
	"fmt"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// AwaitEvent waits for an event with a reason about an object, and returns its
// note. The namespace is empty for what has none, such as Nodes.
func (b *Bed) AwaitEvent(ctx context.Context, kind, namespace, name, reason string) (note string, err error) {
	in := namespace
	if in == "" {
		in = metav1.NamespaceDefault // where events of cluster-scoped objects are kept
	}
	selector := fields.SelectorFromSet(fields.Set{
		"regarding.kind": kind, "regarding.namespace": namespace, "regarding.name": name, "reason": reason,
	})
	what := fmt.Sprintf("%s %s has the event %s", kind, name, reason)
	err = b.Until(ctx, what, func(ctx context.Context) error {
		list, err := b.Client.EventsV1().Events(in).List(ctx, metav1.ListOptions{FieldSelector: selector.String()})
		if err != nil {
			return err
		}
		if len(list.Items) == 0 {
			return errors.New("it has none")
		}
		note = latest(list.Items).Note
		return nil
	})
	return note, err
}

func latest(events []eventsv1.Event) eventsv1.Event {
	last := events[0]
	for _, e := range events[1:] {
		if e.CreationTimestamp.After(last.CreationTimestamp.Time) {
			last = e
		}
	}
	return last
}
