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
)

// podWatch follows the bound pods of the cluster. It is the reflector's store
// and keeps those on known Windows nodes, and those that have an address wherever
// they are, so that memory grows with Windows pods and not with all pods.
type podWatch struct {
	a *Allocator

	mu      sync.Mutex
	home    map[types.UID]place
	holders map[netip.Addr]types.UID // in the whole cluster: one pod an address
	guests  map[types.UID][]*node    // ledgers other than the pod's own that hold its address; see lodge
	rested  map[netip.Addr]rested    // addresses whose pod ended within the cooldown
}

// rested is the end of the pod that had an address. Its ledger knows, but no other one,
// to which EC2 may give the address when another client has taken it from the ENI.
type rested struct {
	node *node
	at   time.Time
}

// place is where a pod is, and with which address.
type place struct {
	node    *node // nil: none that Slotwise knows
	address netip.Addr
}

func newPodWatch(a *Allocator) *podWatch {
	return &podWatch{a: a, home: map[types.UID]place{}, holders: map[netip.Addr]types.UID{}, guests: map[types.UID][]*node{}, rested: map[netip.Addr]rested{}}
}

// bound selects the pods that are on a node. Those on the host's network need no address,
// but the kubelet counts them, too.
func bound(extra ...fields.Selector) string {
	return fields.AndSelectors(append(extra, fields.OneTermNotEqualSelector("spec.nodeName", ""))...).String()
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

// readNode reads the pods of a Node that appeared after the watch had begun;
// of the others the watch's own first list tells. A pod may end between the
// list and its reading, with the watch quicker than both, so a second list
// finds those that the first, or that of an earlier attempt, has brought back.
func (w *podWatch) readNode(ctx context.Context, n *node, name string) error {
	first, err := w.list(ctx, name)
	if err != nil {
		return err
	}
	for i := range first {
		w.observe(&first[i])
	}
	shown := n.podsOn(name)
	second, err := w.list(ctx, name)
	if err != nil {
		return err
	}
	live := map[types.UID]bool{}
	for i := range second {
		live[second[i].UID] = !finished(&second[i])
	}
	for _, uid := range shown {
		if !live[uid] {
			w.ended(uid, 0)
		}
	}
	return nil
}

// podsOn are the pods that the API server has shown on a Node.
func (n *node) podsOn(name string) (uids []types.UID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for uid, p := range n.pods {
		if p.on == name {
			uids = append(uids, uid)
		}
	}
	return uids
}

func (w *podWatch) list(ctx context.Context, name string) ([]corev1.Pod, error) {
	list, err := w.a.kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: bound(fields.OneTermEqualSelector("spec.nodeName", name)),
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
		w.ended(p.UID, 0)
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
			w.ended(uid, 0)
		}
	}
	if !w.a.started.Swap(true) {
		close(w.a.podsRead)
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
	if finished(p) {
		w.ended(p.UID, lingers(p))
		return
	}
	n, seen := w.a.node(p.Spec.NodeName), newPod(p, w.a.resource())
	if n == nil && !seen.address.IsValid() {
		return
	}
	from, other := w.move(p.UID, place{n, seen.address})
	if from != nil && from != n {
		from.ended(p.UID, 0) // it has been read anew, or was taken for another
	}
	if n == nil {
		return
	}
	n.observe(p.UID, seen)
	if other != "" {
		w.resolve(p.UID, other, seen.address)
	}
}

// move notes where a pod is, and says where it was. It says which other live pod has
// the address that is new to this one; the first one seen stays noted as the
// address's holder.
func (w *podWatch) move(uid types.UID, to place) (was *node, other types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	from := w.home[uid]
	w.home[uid] = to
	if from.address == to.address {
		return from.node, ""
	}
	w.leave(uid, from)
	if !to.address.IsValid() {
		return from.node, ""
	}
	if holder, taken := w.holders[to.address]; taken {
		return from.node, holder
	}
	w.holders[to.address] = uid
	return from.node, ""
}

// leave forgets a pod as the holder of an address; the lock is held.
func (w *podWatch) leave(uid types.UID, from place) {
	if w.holders[from.address] == uid {
		delete(w.holders, from.address)
	}
}

// rest notes that the pod of an address has ended; the lock is held.
func (w *podWatch) rest(from place) {
	if !from.address.IsValid() {
		return
	}
	now := time.Now()
	maps.DeleteFunc(w.rested, func(_ netip.Addr, r rested) bool { return now.Sub(r.at) >= ledger.Cooldown })
	w.rested[from.address] = rested{from.node, now}
}

// heldElsewhere says that a live pod other than the given one has an address, or that
// one on another node than the given one had it a moment ago. It can be on another node:
// when another client takes a prefix from under its pods, EC2 gives it away again.
func (w *podWatch) heldElsewhere(address netip.Addr, uid types.UID, n *node) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if holder, taken := w.holders[address]; taken {
		return holder != uid
	}
	r, rests := w.rested[address]
	return rests && r.node != n && time.Since(r.at) < ledger.Cooldown
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

// lodge lists the live pods anywhere that have an address out of a block, and notes
// that the ledger of n holds it for them until they end.
func (w *podWatch) lodge(block netip.Prefix, n *node) (pods []ledger.Grant) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for a := block.Addr(); block.Contains(a); a = a.Next() {
		uid, taken := w.holders[a]
		if !taken {
			continue
		}
		if w.home[uid].node != n && !slices.Contains(w.guests[uid], n) {
			w.guests[uid] = append(w.guests[uid], n)
		}
		pods = append(pods, ledger.Grant{Pod: uid, Address: a, Kind: ledger.KindOf(block)})
	}
	return pods
}

// ended takes up that a pod holds its address no longer, though something of it may
// run for that much longer.
func (w *podWatch) ended(uid types.UID, longer time.Duration) {
	w.mu.Lock()
	from, guest := w.home[uid], w.guests[uid]
	delete(w.home, uid)
	delete(w.guests, uid)
	w.leave(uid, from)
	w.rest(from)
	w.mu.Unlock()
	for _, n := range guest {
		n.ended(uid, longer)
	}
	n := from.node
	if n == nil {
		// The watch never showed it, but it may have been bound a moment ago.
		if v, ok := w.a.placing.Load(uid); ok {
			n = v.(*node)
		}
	}
	if n != nil {
		n.ended(uid, longer)
	}
}
