package advertise

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/vpc"
)

// showing is a Node that shows an advert.
func showing(name string, total, remaining int, since string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{
			AnnotationRemaining: strconv.Itoa(remaining), AnnotationSince: since,
		}},
		Status: corev1.NodeStatus{
			Capacity:    corev1.ResourceList{vpc.Resource: *resource.NewQuantity(int64(total), resource.DecimalSI)},
			Allocatable: corev1.ResourceList{vpc.Resource: *resource.NewQuantity(int64(total), resource.DecimalSI)},
		},
	}
}

// world is one Node, win-1: what it has to offer, and what is written on it. It begins at
// second zero.
type world struct {
	*Advertiser
	start time.Time

	mu      sync.Mutex
	figures Figures
	silent  bool     // there is nothing to be written on it
	err     error    // of the next writes
	log     []string // of writes, and of what is told to the source; as "second: what"
	node    *corev1.Node
}

func newWorld(t *testing.T, f Figures) *world {
	w := &world{start: time.Now(), figures: f}
	w.Advertiser = New(Options{Nodes: w, Source: w, Resource: vpc.Resource, Log: testr.New(t)})
	go w.Run(t.Context())
	return w
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%v: ", time.Since(w.start).Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) Figures(node string) (Figures, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.figures, !w.silent && node == "win-1"
}

func (w *world) Shows(_ string, total int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.figures.Shown = total
	w.note("shows %d", total)
}

func (w *world) Advertise(_ context.Context, node string, a kube.Advert) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		w.note("cannot write %d", a.Total)
		return w.err
	}
	w.node = showing(node, a.Total, 0, "")
	w.node.Annotations = a.Annotations
	since, err := time.Parse(time.RFC3339Nano, a.Annotations[AnnotationSince])
	if err != nil {
		return err
	}
	w.note("wrote %d, %s remain, since %v", a.Total, a.Annotations[AnnotationRemaining], since.Sub(w.start).Seconds())
	return nil
}

// offers changes what the Node has to offer.
func (w *world) offers(total, remaining int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.figures.Total, w.figures.Remaining = total, remaining
}

// set changes how the world is.
func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// shows is the Node as it is.
func (w *world) shows() *corev1.Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.node
}

// until lets time pass until a second of the world.
func (w *world) until(second float64) {
	time.Sleep(time.Until(w.start.Add(time.Duration(second * float64(time.Second)))))
}

// want compares what has happened by now.
func (w *world) want(t *testing.T, want ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.log, want) {
		t.Errorf("this has happened:\n%q\nwant\n%q", w.log, want)
	}
}
