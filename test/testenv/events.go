package testenv

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// AwaitEvent waits for an event about an object, with a reason and with a note
// that contains a text. The namespace is empty for what has none, such as Nodes.
func (e *Env) AwaitEvent(ctx context.Context, kind, namespace, name, reason, text string) error {
	in := namespace
	if in == "" {
		in = metav1.NamespaceDefault // where events of cluster-scoped objects are kept
	}
	selector := fields.SelectorFromSet(fields.Set{
		"regarding.kind": kind, "regarding.namespace": namespace, "regarding.name": name, "reason": reason,
	})
	what := fmt.Sprintf("%s %s has the event %s: %s", kind, name, reason, text)
	return e.Until(ctx, what, func(ctx context.Context) error {
		list, err := e.Client.EventsV1().Events(in).List(ctx, metav1.ListOptions{FieldSelector: selector.String()})
		if err != nil {
			return err
		}
		var notes []string
		for _, e := range list.Items {
			if strings.Contains(e.Note, text) {
				return nil
			}
			notes = append(notes, e.Note)
		}
		return fmt.Errorf("its events with that reason say %q", notes)
	})
}
