// Package work works off queues of what is to be written, with several workers each.
package work

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// Workers is how many writes of one kind to the API server are under way at the most.
const Workers = 16

const (
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = 30 * time.Second
)

// Queue holds each item once; two workers never work on the same one.
type Queue[T comparable] struct {
	queue workqueue.TypedRateLimitingInterface[T]
	pace  *Pace // nil: its items do not wait
}

// NewQueue makes a queue, whose metrics go by the name. With a pace, its items wait for
// what is more urgent.
func NewQueue[T comparable](name string, pace *Pace) *Queue[T] {
	return &Queue[T]{pace: pace, queue: workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[T](firstBackoff, lastBackoff),
		workqueue.TypedRateLimitingQueueConfig[T]{Name: name})}
}

// Add has an item worked on soon.
func (q *Queue[T]) Add(item T) { q.queue.Add(item) }

// AddAfter has an item worked on after a while.
func (q *Queue[T]) AddAfter(item T, d time.Duration) { q.queue.AddAfter(item, d) }

// Run works the queue off until ctx ends. What fails comes back later: after half a
// second the first time, then ever more slowly, every 30 s at the least.
func (q *Queue[T]) Run(ctx context.Context, do func(context.Context, T) error) {
	context.AfterFunc(ctx, q.queue.ShutDown)
	var workers sync.WaitGroup
	for range Workers {
		workers.Go(func() {
			for q.next(ctx, do) {
			}
		})
	}
	workers.Wait()
}

// next works on one item. It answers false once the queue has ended.
func (q *Queue[T]) next(ctx context.Context, do func(context.Context, T) error) bool {
	item, ended := q.queue.Get()
	if ended {
		return false
	}
	defer q.queue.Done(item)
	if err := q.pace.Do(ctx, func() error { return do(ctx, item) }); err != nil {
		q.queue.AddRateLimited(item)
	} else {
		q.queue.Forget(item)
	}
	return true
}
