package advertise

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"slotwise.dev/slotwise/allocator/vpc"
)

// An advert that is written over one with the same figures is no event, and would
// not wake the scheduler.
func TestI8AdvertAfter(t *testing.T) {
	then := time.Now()
	now := then.Add(2 * time.Second)
	for name, c := range map[string]struct {
		total, remaining int // of the next; the last has 10 and 5
		grew             bool
		due              time.Time
		newSince         bool
	}{
		"nothing new":                            {total: 10, remaining: 5},
		"more in all":                            {total: 11, remaining: 5, due: now},
		"less in all":                            {total: 9, remaining: 5, due: now},
		"more remains":                           {total: 10, remaining: 6, due: now},
		"less remains":                           {total: 10, remaining: 4, due: then.Add(lessEvery)},
		"less, then as much as before":           {total: 10, remaining: 5, grew: true, due: now, newSince: true},
		"less, then more, but less than written": {total: 10, remaining: 3, grew: true, due: now},
	} {
		t.Run(name, func(t *testing.T) {
			last := advert{total: 10, remaining: 5, since: then, at: then}
			got, due := advert{total: c.total, remaining: c.remaining, since: now, at: now}.after(last, c.grew)
			if due != c.due {
				t.Errorf("due %s after the last, want %s", due.Sub(then), c.due.Sub(then))
			}
			if newSince := got.since != last.since; newSince != c.newSince {
				t.Errorf("since is new: %t, want %t", newSince, c.newSince)
			}
		})
	}
}

func TestAdvertStands(t *testing.T) {
	x := advert{total: 10, remaining: 5, since: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
	for name, c := range map[string]struct {
		change func(n *corev1.Node)
		want   bool
	}{
		"as it was written":                  {func(*corev1.Node) {}, true},
		"with what others have written":      {func(n *corev1.Node) { n.Annotations["other"] = "value" }, true},
		"a kubelet has reset allocatable":    {func(n *corev1.Node) { delete(n.Status.Allocatable, vpc.Resource) }, false},
		"a kubelet has reset capacity":       {func(n *corev1.Node) { n.Status.Capacity[vpc.Resource] = resource.MustParse("0") }, false},
		"what remains was changed":           {func(n *corev1.Node) { n.Annotations[AnnotationRemaining] = "6" }, false},
		"since was removed":                  {func(n *corev1.Node) { delete(n.Annotations, AnnotationSince) }, false},
		"it shows nothing and never did yet": {func(n *corev1.Node) { *n = corev1.Node{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := showing("win-1", 10, 5, "2026-01-02T03:04:05.000000006Z")
			c.change(n)
			if got := x.stands(n, vpc.Resource); got != c.want {
				t.Errorf("stands: %t, want %t", got, c.want)
			}
		})
	}
}
