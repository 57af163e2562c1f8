package scheduler

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// memory is what a scheduler believes, and what it is about to do.
type memory struct {
	mu    sync.Mutex // guards all below; nothing waits with it held
	ready *sync.Cond // there may be a pod to be tried, or the life is over
	known lister
	cache *cache
	queue *queue
}

func newMemory() *memory {
	m := &memory{known: lister{}, cache: newCache()}
	m.ready = sync.NewCond(&m.mu)
	m.queue = newQueue(time.Now(), &alarm{ring: m.flush}, newNominator(m.known), newPreempting(m.known))
	return m
}

// unlock unlocks mu, and has the next pod tried if there is one now.
func (m *memory) unlock() {
	if m.queue.active.Len()+m.queue.backoff.Len() > 0 {
		m.ready.Signal()
	}
	m.mu.Unlock()
}

// pop waits for the next pod to be tried; nil: ctx has ended.
func (m *memory) pop(ctx context.Context) *queued {
	m.mu.Lock()
	defer m.mu.Unlock()
	for ctx.Err() == nil {
		if q := m.queue.pop(); q != nil {
			return q
		}
		m.ready.Wait()
	}
	return nil
}

// end wakes who waits, for the last time.
func (m *memory) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue.alarm.stop()
	m.ready.Signal()
}

func (m *memory) flush() {
	m.mu.Lock()
	defer m.unlock()
	m.queue.flush(time.Now())
}

// nodes is the cache as it is now.
func (m *memory) nodes() []*nodeInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cache.list()
}

// latest is a pod as the watch shows it now; nil: it is not there.
func (m *memory) latest(p *podInfo) *podInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.known[keyOf(p.pod)]; now != nil {
		return newPodInfo(now, p)
	}
	return nil
}

// nominated are the pods that are nominated on a node. Of one that is being tried nothing
// is known but its name (scheduling_queue.go nominatedPodToInfo).
func (m *memory) nominated(node string) (infos []*podInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.queue.nominated.pods[node] {
		if q := m.queue.waiting[p.key]; q != nil {
			infos = append(infos, q.info)
			continue
		}
		bare := &corev1.Pod{}
		bare.Namespace, bare.Name, bare.UID = p.key.Namespace, p.key.Name, p.uid
		infos = append(infos, newPodInfo(bare, nil))
	}
	return infos
}

// skips says that nothing is to be done about a pod: it is being deleted, or it is assumed
// already, as it was updated between its attempt and that (schedule_one.go skipPodSchedule).
func (m *memory) skips(p *corev1.Pod) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.DeletionTimestamp == nil && !m.cache.assumed(p.UID) {
		return false
	}
	m.queue.flight.end(p.UID)
	return true
}

// assume has a pod count on its node from now on (schedule_one.go assume).
func (m *memory) assume(p *podInfo, node string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.cache.assume(p, node); err != nil {
		return err
	}
	m.queue.nominated.remove(p.pod.UID)
	return nil
}

// binds ends the time in which what happens is kept for a pod.
func (m *memory) binds(p *corev1.Pod) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue.flight.end(p.UID)
}

// forget undoes assume. To the others that is as if a pod had gone. One that the watch has
// shown on a node stays.
func (m *memory) forget(p *corev1.Pod, node string) {
	m.mu.Lock()
	defer m.unlock()
	if !m.cache.assumed(p.UID) {
		return
	}
	m.cache.remove(p.UID)
	m.queue.move(event{kind: podDelete, pod: placed(p, node)}, nil, time.Now())
}

// placed is a pod as if it were on a node.
func placed(p *corev1.Pod, node string) *corev1.Pod {
	there := *p
	there.Spec.NodeName = node
	return &there
}

// takeBack puts a pod back into the queue as the watch shows it now, if it is still there
// and not bound: with an extender that answers too late it may be. It returns the pod of
// which the status is to be written; nil: none.
func (m *memory) takeBack(q *queued, o outcome) *corev1.Pod {
	m.mu.Lock()
	defer m.unlock()
	p := q.info.pod
	defer m.queue.flight.end(p.UID)
	now := m.known[keyOf(p)]
	switch {
	case now == nil || now.Spec.NodeName != "":
	case now.UID != p.UID:
		return nil // another pod of the same name
	default:
		q.info = newPodInfo(now, q.info)
		m.queue.comeBack(q, o.rejectors, time.Now())
		p = now
	}
	m.queue.nominated.add(p, o.nomination)
	return p
}

// gate keeps a pod from being tried; last is its last victim, once it alone is left.
func (m *memory) gate(uid types.UID, last *types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue.preempting.last[uid] = last
}

// ungate lets a pod be tried again. Where something failed it is tried at once, as no end
// of a victim may come.
func (m *memory) ungate(p *corev1.Pod, failed bool) {
	m.mu.Lock()
	defer m.unlock()
	delete(m.queue.preempting.last, p.UID)
	if failed {
		m.queue.activate(p)
	}
}
