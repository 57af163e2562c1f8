package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// kubelet plays the kubelet of one node.
type kubelet struct {
	ctx    context.Context
	writer *writer
	knobs  knobs
	view   *nodeView
	status *nodeStatus
	work   chan struct{} // there is something in news

	mu      sync.Mutex
	news    map[types.UID]*corev1.Pod // not taken up yet; nil: it is no longer there
	workers map[types.UID]*worker     // of all pods that were taken up
}

func newKubelet(ctx context.Context, w *writer, knobs knobs) *kubelet {
	k := &kubelet{
		ctx: ctx, writer: w, knobs: knobs,
		view:    &nodeView{lag: knobs.nodeLag},
		status:  newNodeStatus(w),
		work:    make(chan struct{}, 1),
		news:    map[types.UID]*corev1.Pod{},
		workers: map[types.UID]*worker{},
	}
	go k.run()
	go k.status.run(ctx)
	return k
}

func (k *kubelet) seeNode(n *corev1.Node) {
	k.view.add(n, time.Now())
	k.status.see(n)
}

func (k *kubelet) seePod(p *corev1.Pod) { k.tell(p.UID, p) }

func (k *kubelet) forgetPod(uid types.UID) { k.tell(uid, nil) }

// tell leaves what is newest about a pod to be taken up.
func (k *kubelet) tell(uid types.UID, p *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.news[uid] = p
	k.wake()
}

// wake has run take up the news.
func (k *kubelet) wake() {
	select {
	case k.work <- struct{}{}:
	default:
	}
}

// restart forgets everything but the Node, and takes up all pods of the node as if
// they were new.
func (k *kubelet) restart(pods map[types.UID]*corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for uid, w := range k.workers {
		w.end()
		delete(k.workers, uid)
	}
	k.view.refresh()
	k.news = maps.Clone(pods)
	if k.news == nil {
		k.news = map[types.UID]*corev1.Pod{}
	}
	k.wake()
}

func (k *kubelet) run() {
	for {
		select {
		case <-k.ctx.Done():
			return
		case <-k.work:
			k.takeUp()
		}
	}
}

// takeUp handles all news: pods that have gone first, and new ones in the order of
// their creation (config/config.go Merge, kubelet.go HandlePodAdditions). A pod is
// admitted once, when the watch of pods first shows it bound.
func (k *kubelet) takeUp() {
	k.mu.Lock()
	defer k.mu.Unlock()
	news := k.news
	k.news = map[types.UID]*corev1.Pod{}
	var added []*corev1.Pod
	for uid, p := range news {
		switch w := k.workers[uid]; {
		case p == nil && w != nil:
			w.end()
			delete(k.workers, uid)
		case p == nil: // it came and went
		case w != nil:
			w.see(p)
		default:
			added = append(added, p)
		}
	}
	slices.SortStableFunc(added, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	for _, p := range added {
		k.add(p)
	}
}

// add admits a pod, or rejects it. One that has ended is not admitted. It counts
// only if its sandbox is there yet, as it may be after a restart (pod_workers.go
// UpdatePod, isPodStatusCacheTerminal). k is locked.
func (k *kubelet) add(p *corev1.Pod) {
	w := newWorker(k, p)
	if ended(p) {
		w.counts = w.sandbox
		k.workers[p.UID] = w
		go w.run()
		return
	}
	if verdict := admit(k.ctx, p, k.counted(), k.view); !verdict.Admit {
		go w.reject(verdict.Reason, verdict.Message)
	} else {
		w.counts = true
		go w.run()
	}
	k.workers[p.UID] = w
}

// counted are the pods that a new one has to fit beside: those that were admitted
// and whose sandbox has not been torn down, whatever phase they show
// (kubelet_pods.go filterOutInactivePods and isPodInactive, pod_workers.go
// IsPodKnownTerminated). A pod whose object has gone is not among them
// (kubelet_pods.go GetActivePods), even though its sandbox may be there. k is locked.
func (k *kubelet) counted() (pods []*corev1.Pod) {
	for _, w := range k.workers {
		if w.counts {
			pods = append(pods, w.pod)
		}
	}
	return pods
}

// tornDown has a pod count no more.
func (k *kubelet) tornDown(w *worker) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w.counts = false
}
