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
	advertiseEvery = time.Second // at the most, for one node
	firstBackoff   = 500 * time.Millisecond
	lastBackoff    = 30 * time.Second
)

// advertiser writes what nodes have to offer on their Node objects.
type advertiser struct {
	workqueue.TypedRateLimitingInterface[string]
	a *Allocator

	mu      sync.Mutex
	written map[string]advert
	renewed time.Time // adverts from before are void
}

// advert is what was written on a node, and when.
type advert struct {
	total, remaining int
	since            time.Time
	at               time.Time
}

// advert is what is to be written on the node now.
func (n *node) advert() advert {
	now := time.Now()
	next := advert{remaining: n.remaining(), since: now, at: now}
	if !n.a.observing() {
		next.total = n.advertised()
	}
	return next
}

func newAdvertiser(a *Allocator) *advertiser {
	return &advertiser{TypedRateLimitingInterface: queue[string]("advertise"), a: a, written: map[string]advert{}}
}

// advertise has a node's capacity written, unless it stands there already. The
// first change is written at once, those that follow within a second together.
func (a *Allocator) advertise(name string) {
	a.advertiser.mu.Lock()
	wait := time.Until(a.advertiser.written[name].at.Add(advertiseEvery))
	a.advertiser.mu.Unlock()
	a.advertiser.AddAfter(name, wait)
}

// Advertised makes known what a Node object shows. Where that is not what was
// written, as when a kubelet registers again and resets it, it is written anew.
func (a *Allocator) Advertised(node *corev1.Node) {
	n := a.node(node.Name)
	if n == nil || !n.summary.Load().ready || a.observing() {
		return
	}
	a.advertiser.mu.Lock()
	w, known := a.advertiser.written[node.Name]
	lost := known && (quantity(node.Status.Capacity) != w.total || quantity(node.Status.Allocatable) != w.total)
	if lost {
		delete(a.advertiser.written, node.Name)
	}
	a.advertiser.mu.Unlock()
	if lost {
		a.advertise(node.Name)
	}
}

func quantity(l corev1.ResourceList) int {
	q := l[vpc.Resource]
	return int(q.Value())
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
	next := n.advert()
	w.mu.Lock()
	last, known := w.written[name]
	if known && last.since.After(w.renewed) {
		next.since = last.since
	}
	w.mu.Unlock()
	if known && last.total == next.total && last.remaining == next.remaining && last.since.Equal(next.since) {
		return nil
	}
	patch, err := w.patch(next)
	if err != nil {
		return err
	}
	_, err = w.a.kube.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) {
		w.forget(name)
		return nil
	}
	if err != nil {
		w.a.log.Info("cannot advertise a node's capacity", "node", name, "error", err.Error())
		return err
	}
	w.mu.Lock()
	w.written[name] = next
	w.mu.Unlock()
	return nil
}

// patch writes capacity and allocatable: the kubelet copies one to the other
// only at its next status sync. In mode observe both are the other allocator's.
func (w *advertiser) patch(next advert) ([]byte, error) {
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]string{
		AnnotationRemaining: strconv.Itoa(next.remaining),
		AnnotationSince:     next.since.UTC().Format(time.RFC3339Nano),
	}}}
	if !w.a.observing() {
		total := map[corev1.ResourceName]string{vpc.Resource: strconv.Itoa(next.total)}
		patch["status"] = map[string]any{"capacity": total, "allocatable": total}
	}
	return json.Marshal(patch)
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
}
