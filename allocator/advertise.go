package allocator

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"slotwise.dev/slotwise/allocator/vpc"
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
	advertiseEvery = time.Second     // at the most, for one node
	lessEvery      = 5 * time.Second // where all that is new is that less remains: nobody waits for that
	firstBackoff   = 500 * time.Millisecond
	lastBackoff    = 30 * time.Second
)

// advertiser writes what nodes have to offer on their Node objects.
type advertiser struct {
	workqueue.TypedRateLimitingInterface[string]
	a *Allocator

	mu      sync.Mutex
	written map[string]advert
	grown   map[string]bool // nodes where more has come to remain since, though less may have before
	nudged  map[string]bool // nodes whose total is to grow once more; see nudge
	renewed time.Time       // adverts from before are void
}

// advert is what was written on a node, and when.
type advert struct {
	total, remaining int
	since            time.Time
	at               time.Time
}

// advert is what is to be written on a Node now.
func (n *node) advert(name string) advert {
	now := time.Now()
	next := advert{total: n.advertised(name), since: now, at: now}
	if name == n.name() {
		next.remaining = max(0, n.remaining())
	}
	return next
}

// resource is what nodes advertise: in mode observe one of Slotwise's own, as the
// other allocator advertises its own figure.
func (a *Allocator) resource() corev1.ResourceName {
	if a.observing() {
		return vpc.TrueResource
	}
	return vpc.Resource
}

func newAdvertiser(a *Allocator) *advertiser {
	return &advertiser{TypedRateLimitingInterface: queue[string]("advertise"), a: a, written: map[string]advert{}, grown: map[string]bool{}, nudged: map[string]bool{}}
}

// advertise has a node's capacity written, unless it stands there already. The
// first change is written at once, those that follow within a second together.
// Where more remains than before, the scheduler is woken in any case: it may have
// turned pods away while less remained than what stands there.
func (a *Allocator) advertise(name string, grown bool) {
	a.advertiser.mu.Lock()
	if grown {
		a.advertiser.grown[name] = true
	}
	wait := time.Until(a.advertiser.written[name].at.Add(advertiseEvery))
	a.advertiser.mu.Unlock()
	a.advertiser.AddAfter(name, wait)
}

// nudge has a node show one address less for a moment. Pods that the scheduler's own fit
// check has turned away are woken by nothing but growth of what they ask for
// (Kubernetes 1.37: plugins/noderesources/fit.go, isSchedulableAfterNodeChange).
func (a *Allocator) nudge(name string) {
	a.advertiser.mu.Lock()
	a.advertiser.nudged[name] = true
	a.advertiser.mu.Unlock()
	a.advertise(name, true)
}

// dips says that the node is to show less for a moment, as it can where something is
// left.
func (w *advertiser) dips(name string, remaining int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	nudged := w.nudged[name]
	delete(w.nudged, name)
	return nudged && remaining > 0
}

// Besides is the resource that Windows pods have to ask for one of besides
// vpc.Resource; empty: none.
func (a *Allocator) Besides() corev1.ResourceName {
	if a.observing() {
		return vpc.TrueResource
	}
	return ""
}

// Advertised makes known what a Node object shows. Where that is not what was
// written, as when a kubelet registers again and resets it, or another client has
// changed it, it is written anew.
func (a *Allocator) Advertised(node *corev1.Node) {
	n := a.node(node.Name)
	if n == nil {
		return
	}
	n.sees(node)
	if !n.summary.Load().ready {
		return
	}
	a.advertiser.mu.Lock()
	w, known := a.advertiser.written[node.Name]
	lost := known && !w.stands(node, a.resource())
	if lost {
		delete(a.advertiser.written, node.Name)
	}
	a.advertiser.mu.Unlock()
	if lost {
		a.advertise(node.Name, false)
	}
}

// stands says that a Node shows an advert.
func (x advert) stands(node *corev1.Node, name corev1.ResourceName) bool {
	for key, value := range x.annotations() {
		if node.Annotations[key] != value {
			return false
		}
	}
	return quantity(node.Status.Capacity, name) == x.total && quantity(node.Status.Allocatable, name) == x.total
}

func (x advert) annotations() map[string]string {
	return map[string]string{
		AnnotationRemaining: strconv.Itoa(x.remaining),
		AnnotationSince:     x.since.UTC().Format(time.RFC3339Nano),
	}
}

// sees takes in the total that a Node shows to its kubelet, which may be another than
// was written on it last.
func (n *node) sees(node *corev1.Node) {
	if node.Name == n.name() {
		n.notesTotal(node.Name, quantity(node.Status.Allocatable, n.a.resource()))
	}
}

// notesTotal notes the total that a Node shows, where it is another than before.
func (n *node) notesTotal(name string, total int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if last, known := n.shown.last(name); !known || last != total {
		n.shown.note(name, total, time.Now())
	}
}

func (w *advertiser) run(ctx context.Context) {
	drain(ctx, w.TypedRateLimitingInterface, w.write)
}

// write brings a Node up to date.
func (w *advertiser) write(ctx context.Context, name string) error {
	n := w.a.node(name)
	if n == nil || !n.summary.Load().ready || !w.a.running() {
		w.forget(name)
		return nil
	}
	last, known, grown := w.last(name)
	next := n.advert(name)
	if w.dips(name, next.remaining) {
		next.total--
		w.AddAfter(name, advertiseEvery)
	}
	if known {
		var due time.Time
		if next, due = next.after(last, grown); due.IsZero() {
			return nil
		}
		if due.After(next.at) {
			w.AddAfter(name, due.Sub(next.at))
			return nil
		}
	}
	offers := name == n.name()
	if last, _ := n.shownTotal(); offers && next.total < last {
		n.notesTotal(name, next.total) // the write may be seen before its answer
	}
	err := w.put(ctx, name, next)
	if err == nil && offers {
		n.notesTotal(name, next.total)
	}
	if apierrors.IsNotFound(err) {
		w.forget(name)
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.grown[name] = w.grown[name] || grown
		w.a.log.Info("cannot advertise a node's capacity", "node", name, "error", err.Error())
		return err
	}
	w.written[name] = next
	return nil
}

// last is what was written on a node last, unless that is void, and whether more
// has come to remain since then. From here on, only new growth counts.
func (w *advertiser) last(name string) (last advert, known, grown bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, known = w.written[name]
	grown = w.grown[name]
	delete(w.grown, name)
	return last, known && last.since.After(w.renewed), grown
}

// after is an advert as it follows the last one, and when it is due; zero: it says
// nothing new. Growth makes it differ from the last one in any case.
func (x advert) after(last advert, grown bool) (advert, time.Time) {
	same := x.total == last.total && x.remaining == last.remaining
	if !grown || !same {
		x.since = last.since
	}
	switch {
	case grown || x.total != last.total || x.remaining > last.remaining:
		return x, x.at
	case !same:
		return x, last.at.Add(lessEvery)
	}
	return x, time.Time{}
}

// put writes an advert: capacity and allocatable, as the kubelet copies one to the
// other only at its next status sync.
func (w *advertiser) put(ctx context.Context, name string, next advert) error {
	total := map[corev1.ResourceName]string{w.a.resource(): strconv.Itoa(next.total)}
	patch := map[string]any{
		"metadata": map[string]any{"annotations": next.annotations()},
		"status":   map[string]any{"capacity": total, "allocatable": total},
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	if !w.a.held() {
		return errNotLeading
	}
	_, err = w.a.kube.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, text, metav1.PatchOptions{}, "status")
	return err
}

// renew has all nodes advertised anew, also those whose figures are the same.
func (w *advertiser) renew() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.renewed = time.Now()
}

func (w *advertiser) forget(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.written, name)
	delete(w.grown, name)
	delete(w.nudged, name)
}
