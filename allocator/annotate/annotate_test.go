package annotate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/kube"
)

var (
	iis = Annotation{
		Pod: types.NamespacedName{Namespace: "default", Name: "iis"}, UID: "1",
		Node: "win-1", Address: netip.MustParsePrefix("10.0.0.9/24"),
	}
	errAPI   = errors.New("the API server does not answer")
	resource = schema.GroupResource{Resource: "pods"}
	notFound = apierrors.NewNotFound(resource, "iis")
	conflict = apierrors.NewConflict(resource, "iis", errors.New("another write was quicker"))
	invalid  = apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "iis", nil) // what a patch with another UID is
)

// world is the node win-1, the API server, and who reads events. It begins at second zero.
type world struct {
	kube.Pods
	start   time.Time
	refused bool    // the pod is owed nothing any more
	stands  []error // why the promise cannot be taken back, one try after the other
	answers []error // to the writes, one after the other; then none
	uid     types.UID

	log []string // what is done, as "second: what"
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%v: ", time.Since(w.start).Seconds())+fmt.Sprintf(format, args...))
}

// next takes the first of some errors away; nil once there is none.
func next(all *[]error) (err error) {
	if len(*all) > 0 {
		err, *all = (*all)[0], (*all)[1:]
	}
	return err
}

func (w *world) find(node string) Owner {
	if node != "win-1" {
		return nil
	}
	return w
}

func (w *world) Owes(x Annotation) bool { return x == iis && !w.refused }

func (w *world) TakeBack(context.Context) error {
	w.note("take the promise back")
	return next(&w.stands)
}

func (w *world) Annotate(_ context.Context, pod types.NamespacedName, uid types.UID, address netip.Prefix) error {
	w.note("write %s on %s of UID %s", address, pod, uid)
	return next(&w.answers)
}

func (w *world) Get(context.Context, types.NamespacedName) (*corev1.Pod, error) {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: w.uid}}, nil
}

// Eventf is that of an EventRecorder.
func (w *world) Eventf(on, _ runtime.Object, kind, reason, action, note string, args ...any) {
	x := on.(*corev1.ObjectReference)
	w.note("%s %s of %s %s/%s of UID %s: "+note, append([]any{kind, reason + "/" + action, x.Kind, x.Namespace, x.Name, x.UID}, args...)...)
}

// What is done for a pod that was bound past the extender.
func TestAnnotate(t *testing.T) {
	const (
		takeBack = "take the promise back"
		write    = "write 10.0.0.9/24 on default/iis of UID 1"
		told     = "Normal ResourceAllocated/Allocate of Pod default/iis of UID 1: Allocated vpc.amazonaws.com/PrivateIPv4Address: 10.0.0.9/24 to the pod"
		failed   = "Warning ResourceAllocationFailed/Allocate of Pod default/iis of UID 1: Failed to give the pod its address: %v. It is tried again."
	)
	elsewhere := iis
	elsewhere.Node = "win-2"
	for name, c := range map[string]struct {
		world world
		add   Annotation
		want  []string
	}{
		"it gets its address": {
			add:  iis,
			want: []string{"0: " + takeBack, "0: " + write, "0: " + told},
		},
		"its node has gone": {add: elsewhere},
		"it is owed nothing any more": {
			world: world{refused: true}, add: iis,
		},
		"the promise stands: nothing is written": {
			world: world{stands: []error{errAPI}}, add: iis,
			want: []string{"0: " + takeBack, "0.5: " + takeBack, "0.5: " + write, "0.5: " + told},
		},
		"it cannot be written: the pod tells so": {
			world: world{answers: []error{errAPI}}, add: iis,
			want: []string{
				"0: " + takeBack, "0: " + write, "0: " + fmt.Sprintf(failed, errAPI),
				"0.5: " + takeBack, "0.5: " + write, "0.5: " + told,
			},
		},
		"the lease is lost, and had again: in quiet": {
			world: world{answers: []error{kube.ErrNotLeading}}, add: iis,
			want: []string{"0: " + takeBack, "0: " + write, "0.5: " + takeBack, "0.5: " + write, "0.5: " + told},
		},
		"it has gone": {
			world: world{answers: []error{notFound}}, add: iis,
			want: []string{"0: " + takeBack, "0: " + write},
		},
		"another pod has its name now": {
			world: world{answers: []error{invalid}, uid: "2"}, add: iis,
			want: []string{"0: " + takeBack, "0: " + write},
		},
		"it was written to at the same time": {
			world: world{answers: []error{conflict}, uid: "1"}, add: iis,
			want: []string{
				"0: " + takeBack, "0: " + write, "0: " + fmt.Sprintf(failed, conflict),
				"0.5: " + takeBack, "0.5: " + write, "0.5: " + told,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &c.world
				w.start = time.Now()
				a := New(Options{Pods: w, Find: w.find, Events: events.Reporter{Recorder: w}, Log: logr.Discard()})
				go a.Run(t.Context())
				a.Add(c.add)
				time.Sleep(time.Minute)
				synctest.Wait()
				if diff := cmp.Diff(c.want, w.log); diff != "" {
					t.Errorf("what was done differs (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Slotwise may be turned off while an address waits to be written again.
func TestAnnotateAsksAgainEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{start: time.Now(), answers: []error{kube.ErrNotLeading, kube.ErrNotLeading}}
		a := New(Options{Pods: w, Find: w.find, Events: events.Reporter{Recorder: w}, Log: logr.Discard()})
		go a.Run(t.Context())
		a.Add(iis)
		synctest.Wait()
		w.refused = true
		before := len(w.log)
		time.Sleep(time.Minute)
		synctest.Wait()
		if later := w.log[before:]; len(later) > 0 {
			t.Errorf("done though nothing is owed: %v", later)
		}
	})
}
