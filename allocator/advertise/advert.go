package advertise

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/kube"
)

// AnnotationRemaining is the Node annotation with the true remaining capacity
// in pods. It tells people, and it wakes the scheduler where the capacity that
// is left grows while the advertised total stays the same.
const AnnotationRemaining = "slotwise.dev/remaining-addresses"

// AnnotationSince is the Node annotation with the time since when addresses can
// be had on the node: it changes as Slotwise is switched on, or takes over, and in
// mode observe after a switch of mode. That wakes the scheduler for the pods that
// were turned away before, where the figures are the same again.
const AnnotationSince = "slotwise.dev/advertised-since"

const (
	writeEvery = time.Second     // at the most, for one node
	lessEvery  = 5 * time.Second // where all that is new is that less remains: nobody waits for that
)

// advert is what is to be written on a Node, or was.
type advert struct {
	total, remaining int
	since            time.Time // see AnnotationSince
	at               time.Time // when it was written
}

// after is an advert as it follows the last one, and when it is due; zero: it
// says nothing new. Growth makes it differ from the last one in any case.
func (x advert) after(last advert, grew bool) (advert, time.Time) {
	same := x.total == last.total && x.remaining == last.remaining
	if !grew || !same {
		x.since = last.since
	}
	switch {
	case grew || x.total != last.total || x.remaining > last.remaining:
		return x, x.at
	case !same:
		return x, last.at.Add(lessEvery)
	}
	return x, time.Time{}
}

// stands says that a Node shows an advert.
func (x advert) stands(node *corev1.Node, resource corev1.ResourceName) bool {
	for key, value := range x.annotations() {
		if node.Annotations[key] != value {
			return false
		}
	}
	return quantity(node.Status.Capacity, resource) == x.total && quantity(node.Status.Allocatable, resource) == x.total
}

// of is the advert as it is written.
func (x advert) of(resource corev1.ResourceName) kube.Advert {
	return kube.Advert{Resource: resource, Total: x.total, Annotations: x.annotations()}
}

func (x advert) annotations() map[string]string {
	return map[string]string{
		AnnotationRemaining: strconv.Itoa(x.remaining),
		AnnotationSince:     x.since.UTC().Format(time.RFC3339Nano),
	}
}

func quantity(l corev1.ResourceList, resource corev1.ResourceName) int {
	q := l[resource]
	return int(q.Value())
}
