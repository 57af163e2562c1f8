package kubelet

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// life is one life of a kubelet.
type life struct {
	m    *Machine
	ctx  context.Context
	pods apiserver.Remote[*corev1.Pod]
	all  sync.WaitGroup // of workers, and of what they write

	mu      sync.Mutex // guards all below; nothing waits with it held
	node    *corev1.Node
	synced  bool // the first list of pods is complete
	first   []*corev1.Pod
	workers map[types.UID]*worker
}

// Run is one life of the machine's kubelet, until ctx ends. There must be one at a time.
// It returns once nothing of it is under way any more.
// With anew it finds no state of an earlier life, as on a machine that was made anew: it
// sets the extended resources of its Node to zero (kubelet_node_status.go
// reconcileExtendedResource).
//
// All pods are admitted as if they were new, those that run too, in the order of their
// creation, against the Node as the watch shows it then. Those that do not fit have failed.
func (m *Machine) Run(ctx context.Context, anew bool) {
	m.node.up()
	defer m.node.down()
	if !m.node.register(ctx, anew) {
		return
	}
	k := &life{
		m: m, ctx: ctx, pods: m.o.Server.Pods().Via(m.o.Client),
		workers: map[types.UID]*worker{},
	}
	k.all.Go(func() {
		if sleep(ctx, m.dice.draw(m.o.Ready)) {
			m.node.report(ctx, true)
		}
	})
	k.follow()
	k.all.Wait()
}

// follow follows the watches until the life is over: that of pods once the Node is known,
// if it is there (config/apiserver.go NewSourceApiserver, nodeHasSynced).
func (k *life) follow() {
	nodes := k.m.o.Server.Nodes().Via(k.m.o.NodeClient)
	own := nodes.Informer(k.ctx, func(n *corev1.Node) bool { return n.Name == k.m.Name() }, k.seeNode)
	defer func() { <-own.Ended() }()
	if !await(k.ctx, own.Synced()) {
		return
	}
	pods := k.pods.Informer(k.ctx, func(p *corev1.Pod) bool { return p.Spec.NodeName == k.m.Name() }, k.seePod)
	defer func() { <-pods.Ended() }()
	if await(k.ctx, pods.Synced()) {
		k.addFirst()
	}
	<-k.ctx.Done()
}

func await(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-c:
		return true
	}
}

// seeNode takes up a version of the Node. Where that has gone the kubelet goes on with the
// one that it saw last (kubelet_nodecache.go getCachedNode).
func (k *life) seeNode(_, now *corev1.Node) {
	if now == nil {
		return
	}
	k.mu.Lock()
	k.node = now
	k.mu.Unlock()
	k.m.node.settle(k.ctx, now)
}

// seePod takes up a pod that is new on the node, has changed, or has gone. A pod is
// admitted once, when the watch first shows it (kubelet.go HandlePodAdditions).
func (k *life) seePod(old, now *corev1.Pod) {
	k.mu.Lock()
	var rejected []rejection
	if old != nil && (now == nil || now.UID != old.UID) {
		k.forgetLocked(old.UID)
	}
	if now != nil {
		rejected = k.takeLocked(now)
	}
	k.mu.Unlock()
	k.reject(rejected)
}

// takeLocked takes up a version of a pod. Caller holds k.mu.
func (k *life) takeLocked(p *corev1.Pod) []rejection {
	if w := k.workers[p.UID]; w != nil {
		w.see(p)
		return nil
	}
	if !k.synced {
		k.first = append(slices.DeleteFunc(k.first, func(q *corev1.Pod) bool { return q.UID == p.UID }), p)
		return nil
	}
	return k.addLocked(p)
}

// forgetLocked takes up that a pod is no longer there: it counts no more, even though its
// sandbox may be there for a while (kubelet_pods.go GetActivePods). Caller holds k.mu.
func (k *life) forgetLocked(uid types.UID) {
	k.first = slices.DeleteFunc(k.first, func(q *corev1.Pod) bool { return q.UID == uid })
	if w := k.workers[uid]; w != nil {
		delete(k.workers, uid)
		w.end()
		k.m.sandboxes.abandon(uid)
	}
}

// addFirst adds the pods that were there at the start. A sandbox whose pod is not among
// them goes (kubelet_pods.go HandlePodCleanups).
func (k *life) addFirst() {
	k.mu.Lock()
	k.synced = true
	slices.SortStableFunc(k.first, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	var rejected []rejection
	for _, p := range k.first {
		rejected = append(rejected, k.addLocked(p)...)
	}
	k.first = nil
	known := map[types.UID]bool{}
	for uid := range k.workers {
		known[uid] = true
	}
	k.mu.Unlock()
	k.reject(rejected)
	for _, uid := range slices.Sorted(maps.Keys(k.m.Addresses())) {
		if !known[uid] {
			k.m.sandboxes.abandon(uid)
		}
	}
}

// rejection is one that has not been told yet.
type rejection struct {
	Rejection
	w *worker
}

// reject tells of rejections, first those who watch the kubelet, then the API server.
func (k *life) reject(all []rejection) {
	for _, r := range all {
		k.m.o.Rejected(r.Rejection)
		k.all.Go(func() { r.w.reject(verdict{r.Reason, r.Message}) })
	}
}

// addLocked admits a pod, or rejects it. One that has ended is not admitted; it counts only
// if its sandbox is there yet, as it may be after a restart (pod_workers.go UpdatePod,
// isPodStatusCacheTerminal). Caller holds k.mu.
func (k *life) addLocked(p *corev1.Pod) []rejection {
	w := newWorker(k, p)
	k.workers[p.UID] = w
	if ended(p) {
		w.counts = k.m.sandboxes.of(p.UID) != nil
		k.all.Go(w.run)
		return nil
	}
	counted, others := k.countedLocked()
	v := admit(p, w.requests, others, k.knownLocked(), k.fresh)
	if v == (verdict{}) {
		w.counts = true
		k.all.Go(w.run)
		return nil
	}
	return []rejection{{w: w, Rejection: Rejection{
		At: time.Now(), Pod: p, Reason: v.reason, Message: v.message, Known: k.node, Counted: counted,
		Again: k.m.sandboxes.of(p.UID) != nil,
	}}}
}

// countedLocked are the pods that a new one has to fit beside: those that were admitted and
// whose sandbox has not been torn down, whatever phase they show (kubelet_pods.go
// filterOutInactivePods and isPodInactive, pod_workers.go IsPodKnownTerminated). Caller
// holds k.mu.
func (k *life) countedLocked() (pods []*corev1.Pod, all load) {
	for _, w := range k.workers {
		if w.counts {
			pods, all = append(pods, w.pod), all.plus(w.requests)
		}
	}
	return pods, all
}

// knownLocked is the Node as the kubelet knows it; if it has never seen it, as it would
// register it (kubelet_getters.go getNodeAnyWay). Caller holds k.mu.
func (k *life) knownLocked() *corev1.Node {
	if k.node != nil {
		return k.node
	}
	return k.m.o.Node
}

// fresh is the Node as the API server has it; nil: it is not there.
func (k *life) fresh() *corev1.Node {
	n, there := k.m.o.Server.Nodes().Get(types.NamespacedName{Name: k.m.Name()})
	if !there {
		return nil
	}
	return n
}
