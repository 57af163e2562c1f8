package evict

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/kube"
)

var (
	iis = Eviction{Pod: types.NamespacedName{Namespace: "default", Name: "iis"}, UID: "1"}

	resource = schema.GroupResource{Resource: "pods"}
	notFound = apierrors.NewNotFound(resource, "iis")
	conflict = apierrors.NewConflict(resource, "iis", errors.New("it is another one"))
	notYet   = apierrors.NewTooManyRequests("the pod's disruption budget does not allow it", 0)
)

// cluster answers evictions with one error after the other, and then with none. It
// begins at second zero.
type cluster struct {
	kube.Pods
	start   time.Time
	answers []error
	uid     types.UID // of the pod that has the name now

	asked []float64 // seconds when the eviction was asked for
	wrong []Eviction
}

func (c *cluster) Evict(_ context.Context, pod types.NamespacedName, uid types.UID) error {
	c.asked = append(c.asked, time.Since(c.start).Seconds())
	if x := (Eviction{Pod: pod, UID: uid}); x != iis {
		c.wrong = append(c.wrong, x)
	}
	if len(c.answers) == 0 {
		return nil
	}
	err := c.answers[0]
	c.answers = c.answers[1:]
	return err
}

func (c *cluster) Get(context.Context, types.NamespacedName) (*corev1.Pod, error) {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: c.uid}}, nil
}

func TestEvict(t *testing.T) {
	for name, c := range map[string]struct {
		answers []error
		uid     types.UID
		want    []float64 // seconds when the eviction is asked for
		logged  int
	}{
		"it goes at once":                            {want: []float64{0}},
		"its disruption budget allows it later":      {answers: []error{notYet, notYet}, want: []float64{0, 0.5, 1.5}, logged: 2},
		"it has gone already":                        {answers: []error{notFound}, want: []float64{0}},
		"another pod has its name now":               {answers: []error{conflict}, uid: "2", want: []float64{0}},
		"it was written to at the same time":         {answers: []error{conflict}, uid: "1", want: []float64{0, 0.5}, logged: 1},
		"the lease is lost, and had again: in quiet": {answers: []error{kube.ErrNotLeading}, want: []float64{0, 0.5}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &cluster{start: time.Now(), answers: c.answers, uid: c.uid}
				logged := 0
				e := New(Options{Pods: api, Log: funcr.New(func(string, string) { logged++ }, funcr.Options{})})
				go e.Run(t.Context())
				e.Add(iis)
				time.Sleep(time.Minute)
				synctest.Wait()
				if diff := cmp.Diff(c.want, api.asked); diff != "" {
					t.Errorf("seconds differ (-want +got):\n%s", diff)
				}
				if logged != c.logged || api.wrong != nil {
					t.Errorf("%d lines logged, want %d; wrong evictions %v", logged, c.logged, api.wrong)
				}
			})
		})
	}
}
