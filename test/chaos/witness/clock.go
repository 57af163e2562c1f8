package witness

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// clock tells when revisions of the API server were written, on this process's
// clock, whenever they were seen. Several times a second it writes an object of
// its own: the revision in the answer was written between request and answer,
// and what has a higher or lower revision was written after or before it. All
// objects are in one etcd, so their revisions are of one sequence.
type clock struct {
	mu    sync.Mutex
	ticks []tick // in the order of their revisions
}

// tick is one write of the clock.
type tick struct {
	revision       int64
	sent, answered time.Time
}

const (
	beat        = 100 * time.Millisecond
	beatTimeout = 5 * time.Second
)

// clockObject is what the clock writes.
const clockObject = "witness-clock"

func (c *clock) run(ctx context.Context, kube kubernetes.Interface) error {
	maps := kube.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	first := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: clockObject}}
	if _, err := maps.Create(ctx, first, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("start the witness's clock: %w", err)
	}
	go func() {
		for n := 0; ctx.Err() == nil; n++ {
			c.tick(ctx, n, func(ctx context.Context, patch []byte) (*corev1.ConfigMap, error) {
				return maps.Patch(ctx, clockObject, types.MergePatchType, patch, metav1.PatchOptions{})
			})
			time.Sleep(beat)
		}
	}()
	return nil
}

// tick writes once. What gets no answer says nothing.
func (c *clock) tick(ctx context.Context, n int, write func(context.Context, []byte) (*corev1.ConfigMap, error)) {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	sent := time.Now()
	o, err := write(ctx, []byte(`{"data":{"beat":"`+strconv.Itoa(n)+`"}}`))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ticks = append(c.ticks, tick{revision(o), sent, time.Now()})
}

// notBefore is a time at which the revision had certainly not been written yet;
// zero where none is known.
func (c *clock) notBefore(revision int64) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.search(revision); i > 0 {
		return c.ticks[i-1].sent
	}
	return time.Time{}
}

// notAfter is a time by which the revision had certainly been written; false
// where none is known yet.
func (c *clock) notAfter(revision int64) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.search(revision); i < len(c.ticks) {
		return c.ticks[i].answered, true
	}
	return time.Time{}, false
}

// search finds the first tick that is not of a lower revision. c is locked.
func (c *clock) search(revision int64) int {
	i, _ := slices.BinarySearchFunc(c.ticks, revision, func(t tick, r int64) int { return int(t.revision - r) })
	return i
}

// revision reads when an object was written last, in etcd's count.
func revision(o metav1.Object) int64 { return number(o.GetResourceVersion()) }

func number(resourceVersion string) int64 {
	n, err := strconv.ParseInt(resourceVersion, 10, 64)
	if err != nil {
		panic(err) // the API server promises a decimal number
	}
	return n
}
