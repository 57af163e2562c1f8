// Package revision tells when the API server wrote something. Watches and caches
// tell of it later, by how much nobody knows; revisions do not lie.
package revision

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Clock knows when revisions were written, on this process's clock and whenever
// they were seen. Several times a second it asks for the latest one: what has a
// higher revision was written after the question, what has none higher before the
// answer. All objects are in one etcd, so their revisions are of one sequence.
type Clock struct {
	mu    sync.Mutex
	ticks []tick // in the order of their revisions
}

// tick is one answer.
type tick struct {
	revision        int64
	asked, answered time.Time
}

const (
	tickEvery   = 150 * time.Millisecond
	tickTimeout = 5 * time.Second
)

// Run asks until ctx ends.
func (c *Clock) Run(ctx context.Context, kube kubernetes.Interface) {
	for ctx.Err() == nil {
		c.tick(ctx, kube)
		select {
		case <-ctx.Done():
		case <-time.After(tickEvery):
		}
	}
}

// tick asks once. Without an answer nothing is learned.
func (c *Clock) tick(ctx context.Context, kube kubernetes.Interface) {
	ctx, cancel := context.WithTimeout(ctx, tickTimeout)
	defer cancel()
	asked := time.Now()
	if list, err := kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{Limit: 1}); err == nil {
		c.Note(Of(list.ResourceVersion), asked, time.Now())
	}
}

// Note enters that a question asked and answered at these times found a revision
// to be the latest.
func (c *Clock) Note(revision int64, asked, answered time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.ticks); n == 0 || revision >= c.ticks[n-1].revision {
		c.ticks = append(c.ticks, tick{revision, asked, answered})
	}
}

// NotBefore is a time at which a revision had certainly not been written yet; zero
// where none is known.
func (c *Clock) NotBefore(revision int64) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.search(revision); i > 0 {
		return c.ticks[i-1].asked
	}
	return time.Time{}
}

// NotAfter is a time by which a revision had certainly been written; false where
// none is known yet.
func (c *Clock) NotAfter(revision int64) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.search(revision); i < len(c.ticks) {
		return c.ticks[i].answered, true
	}
	return time.Time{}, false
}

// search finds the first tick that is not of a lower revision. c is locked.
func (c *Clock) search(revision int64) int {
	i, _ := slices.BinarySearchFunc(c.ticks, revision, func(t tick, r int64) int { return int(t.revision - r) })
	return i
}

// Of reads a resourceVersion.
func Of(resourceVersion string) int64 {
	n, err := strconv.ParseInt(resourceVersion, 10, 64)
	if err != nil {
		panic(err) // the API server promises a decimal number
	}
	return n
}
