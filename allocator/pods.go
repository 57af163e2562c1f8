package allocator

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/vpc"
)

// pod is what is kept of a pod on a Windows node.
type pod struct {
	uid     types.UID
	key     types.NamespacedName
	address netip.Addr  // invalid: it has none yet
	kind    ledger.Kind // of the block that it is out of
	asks    bool        // for the resource
	created time.Time
}

// podWatch follows the bound pods of the cluster. It is the reflector's store
// and keeps only those on known Windows nodes, so that memory grows with
// Windows pods and not with all pods.
type podWatch struct {
	a *Allocator

	mu      sync.Mutex
	home    map[types.UID]place
	holders map[netip.Addr]types.UID // in the whole cluster: one pod an address
}

// place is where a pod is, and with which address.
type place struct {
	node    *node
	address netip.Addr
}

func newPodWatch(a *Allocator) *podWatch {
	return &podWatch{a: a, home: map[types.UID]place{}, holders: map[netip.Addr]types.UID{}}
}

// bound selects the pods that may need an address: pods on the host's network
// have the node's.
func bound(extra ...fields.Selector) string {
	return fields.AndSelectors(append(extra,
		fields.OneTermNotEqualSelector("spec.nodeName", ""),
		fields.OneTermEqualSelector("spec.hostNetwork", "false"),
	)...).String()
}

// watchBackoff is the pause before the API server is asked for pods again. Addresses
// wait for what it tells, and the reflector does not end in mid-pause, so it grows far
// less than client-go's own.
var watchBackoff = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 3, Cap: 2 * time.Second}

func (w *podWatch) run(ctx context.Context) {
	pods := w.a.kube.CoreV1().Pods(metav1.NamespaceAll)
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = bound()
			return pods.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = bound()
			return pods.Watch(ctx, o)
		},
	}
	r := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, w.a.kube), &corev1.Pod{}, w, cache.ReflectorOptions{
		Name:    "windows-pods",
		Backoff: &watchBackoff,
	})
	r.RunWithContext(ctx)
}

// readNode reads the pods of a node that appeared after the watch had begun;
// of the others the watch's own first list tells. A pod may end between the
// list and its reading, with the watch quicker than both, so a second list
// finds those that the first, or that of an earlier attempt, has brought back.
func (w *podWatch) readNode(ctx context.Context, n *node) error {
	if n.initial {
		return nil
	}
	first, err := w.list(ctx, n)
	if err != nil {
		return err
	}
	for i := range first {
		w.observe(&first[i])
	}
	shown := n.shown()
	second, err := w.list(ctx, n)
	if err != nil {
		return err
	}
	live := map[types.UID]bool{}
	for i := range second {
		live[second[i].UID] = !finished(&second[i])
	}
	for _, uid := range shown {
		if !live[uid] {
			w.ended(uid)
		}
	}
	return nil
}

// shown are the pods that the API server has shown on the node.
func (n *node) shown() []types.UID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Keys(n.pods))
}

func (w *podWatch) list(ctx context.Context, n *node) ([]corev1.Pod, error) {
	list, err := w.a.kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: bound(fields.OneTermEqualSelector("spec.nodeName", n.name)),
	})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// Transformer strips pods of all that is not used before they are stored.
func (w *podWatch) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		if p, ok := obj.(*corev1.Pod); ok {
			return strip(p), nil
		}
		return obj, nil
	}
}

func strip(p *corev1.Pod) *corev1.Pod {
	s := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion,
		CreationTimestamp: p.CreationTimestamp,
	}}
	if a, has := p.Annotations[vpc.Annotation]; has {
		s.Annotations = map[string]string{vpc.Annotation: a}
	}
	s.Spec.NodeName, s.Spec.HostNetwork = p.Spec.NodeName, p.Spec.HostNetwork
	if asks(p) {
		s.Spec.Containers = []corev1.Container{{Resources: p.Spec.Containers[0].Resources}}
	}
	s.Status.Phase = p.Status.Phase
	return s
}

// asks says that a pod asks for the resource, as the webhook has it do.
func asks(p *corev1.Pod) bool {
	if len(p.Spec.Containers) == 0 {
		return false
	}
	_, has := p.Spec.Containers[0].Resources.Requests[vpc.Resource]
	return has
}

// finished says that a pod needs its address no longer, though it still exists.
func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// Add notes a pod that appeared.
func (w *podWatch) Add(obj any) error { return w.Update(obj) }

// Update notes what has become of a pod.
func (w *podWatch) Update(obj any) error {
	if p, ok := obj.(*corev1.Pod); ok {
		w.observe(p)
	}
	return nil
}

// Delete notes the end of a pod.
func (w *podWatch) Delete(obj any) error {
	if p, ok := obj.(*corev1.Pod); ok {
		w.ended(p.UID)
	}
	return nil
}

// Replace notes all pods at once, and the end of those that are not among them.
func (w *podWatch) Replace(objs []any, _ string) error {
	live := make(map[types.UID]bool, len(objs))
	for _, obj := range objs {
		if p, ok := obj.(*corev1.Pod); ok {
			live[p.UID] = true
			w.observe(p)
		}
	}
	for _, uid := range w.known() {
		if !live[uid] {
			w.ended(uid)
		}
	}
	if !w.a.started.Swap(true) {
		for _, n := range w.a.everyNode() {
			n.refresh() // it may act from now on
		}
	}
	return nil
}

// Resync is not needed: nothing is kept that could age.
func (w *podWatch) Resync() error { return nil }

func (w *podWatch) known() []types.UID {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]types.UID, 0, len(w.home))
	for uid := range w.home {
		all = append(all, uid)
	}
	return all
}

// observe takes up what the API server says of a bound pod.
func (w *podWatch) observe(p *corev1.Pod) {
	if p.Spec.HostNetwork {
		return
	}
	if finished(p) {
		w.ended(p.UID)
		return
	}
	n := w.a.node(p.Spec.NodeName)
	if n == nil {
		return
	}
	seen := newPod(p)
	other := w.move(p.UID, place{n, seen.address})
	n.observe(p.UID, seen)
	if other != "" {
		w.resolve(p.UID, other, seen.address)
	}
}

// move notes where a pod is. It says which other live pod has the address that
// is new to this one; the first one seen stays noted as the address's holder.
func (w *podWatch) move(uid types.UID, to place) (other types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	from := w.home[uid]
	w.home[uid] = to
	if from.address == to.address {
		return ""
	}
	w.leave(uid, from)
	if !to.address.IsValid() {
		return ""
	}
	if holder, taken := w.holders[to.address]; taken {
		return holder
	}
	w.holders[to.address] = uid
	return ""
}

// leave forgets a pod as the holder of an address; the lock is held.
func (w *podWatch) leave(uid types.UID, from place) {
	if w.holders[from.address] == uid {
		delete(w.holders, from.address)
	}
}

// heldElsewhere says that a live pod other than the given one has an address.
// It can be on another node: when another hand takes a prefix from under its
// pods, EC2 gives it away again.
func (w *podWatch) heldElsewhere(address netip.Addr, uid types.UID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	holder, taken := w.holders[address]
	return taken && holder != uid
}

// resolve ends the state in which two live pods have one address: the younger
// one has to go. Nothing that Slotwise does leads there; an old leader that was
// frozen for longer than its lease can.
func (w *podWatch) resolve(a, b types.UID, address netip.Addr) {
	first, second, ok := w.byAge(a, b)
	if !ok {
		return
	}
	w.a.metrics.duplicates.Inc()
	w.a.log.Info("two live pods have the same address", "address", address.String(), "older", first.key, "younger", second.key)
	if w.a.observing() {
		return // not ours to end
	}
	w.a.events.duplicate(second.key, second.uid, address, first.key)
	w.a.evictions.Add(eviction{pod: second.key, uid: second.uid})
}

// byAge sorts two pods by their age; of two of the same second, by UID.
func (w *podWatch) byAge(a, b types.UID) (older, younger pod, ok bool) {
	p, known := w.lookup(a)
	q, alsoKnown := w.lookup(b)
	if !known || !alsoKnown {
		return p, q, false
	}
	if q.created.Before(p.created) || q.created.Equal(p.created) && q.uid < p.uid {
		p, q = q, p
	}
	return p, q, true
}

func (w *podWatch) lookup(uid types.UID) (pod, bool) {
	w.mu.Lock()
	n := w.home[uid].node
	w.mu.Unlock()
	if n == nil {
		return pod{}, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	p, known := n.pods[uid]
	return p, known
}

// ended takes up that a pod holds its address no longer.
func (w *podWatch) ended(uid types.UID) {
	w.mu.Lock()
	from := w.home[uid]
	delete(w.home, uid)
	w.leave(uid, from)
	w.mu.Unlock()
	n := from.node
	if n == nil {
		// The watch never showed it, but it may have been bound a moment ago.
		if v, ok := w.a.placing.Load(uid); ok {
			n = v.(*node)
		}
	}
	if n != nil {
		n.ended(uid)
	}
}

// newPod keeps what is used of a pod. An address that cannot be read is an
// address that nobody knows: the pod is treated as having none.
func newPod(p *corev1.Pod) pod {
	kept := pod{
		uid: p.UID, key: types.NamespacedName{Namespace: p.Namespace, Name: p.Name},
		asks: asks(p), created: p.CreationTimestamp.Time,
	}
	if parsed, err := vpc.ParseAddress(p.Annotations[vpc.Annotation]); err == nil {
		kept.address, kept.kind = parsed.Addr(), kindOf(parsed)
	}
	return kept
}

// kindOf reads the annotation's value as format writes it.
func kindOf(address netip.Prefix) ledger.Kind {
	if address.Bits() == 32 {
		return ledger.Prefix
	}
	return ledger.SecondaryIP
}

// observe takes up a live pod that is bound to the node.
func (n *node) observe(uid types.UID, seen pod) {
	n.update(func(l *ledger.Ledger, now time.Time) {
		n.finish(uid)
		n.keep(uid, seen)
		if seen.address.IsValid() {
			n.hold(uid, seen, now)
			return
		}
		if n.a.observing() && !seen.asks {
			return // the other allocator does not give it one
		}
		l.Wait(uid)
		if a, _ := l.Holder(uid); a.IsValid() {
			// Given in a bind that another scheduler was quicker than.
			n.deliver(ledger.Grant{Pod: uid, Address: a, Kind: l.KindAt(a)})
		}
	})
}

// keep enters a pod into the node's book; whoever calls it holds the lock.
func (n *node) keep(uid types.UID, p pod) {
	n.unkeep(uid)
	n.pods[uid] = p
	if !p.asks {
		n.silent++
	}
}

// ended takes up that a pod of the node has ended.
func (n *node) ended(uid types.UID) {
	n.update(func(l *ledger.Ledger, now time.Time) {
		n.finish(uid)
		n.unkeep(uid)
		l.End(uid, now)
	})
}

func (n *node) unkeep(uid types.UID) {
	if p, had := n.pods[uid]; had && !p.asks {
		n.silent--
	}
	delete(n.pods, uid)
}
