package preemption

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/capacity"
)

// book is where nominations are kept: one a pod. It decides nothing.
type book struct {
	mu     sync.Mutex
	byPod  map[types.UID]nomination
	byNode map[Node]map[types.UID]bool
	vain   []Node // where some have ended, which is not told yet; see inVain
}

func newBook() *book {
	return &book{byPod: map[types.UID]nomination{}, byNode: map[Node]map[types.UID]bool{}}
}

// remove forgets the nomination of a pod.
func (b *book) remove(pod types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.removeLocked(pod)
}

// move hands the nominations of a node to the one that takes its place.
func (b *book) move(from, to Node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for pod := range b.byNode[from] {
		x := b.byPod[pod]
		b.removeLocked(pod)
		x.node = to
		b.addLocked(x)
	}
}

// kept counts, by node, the addresses that are kept for pods of a higher priority than
// the given one's. Nodes with none are not in it.
func (b *book) kept(pod capacity.Pod) (kept map[Node]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for uid, x := range b.byPod {
		if uid == pod.UID || x.pod.Priority <= pod.Priority {
			continue
		}
		if kept == nil {
			kept = map[Node]int{}
		}
		kept[x.node]++
	}
	return kept
}

// end ends a nomination that serves its pod no more.
func (b *book) end(x nomination) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.byPod[x.pod.UID]; now.node != x.node || !now.made.Equal(x.made) {
		return // it has another one by now
	}
	b.removeLocked(x.pod.UID)
	if !slices.Contains(b.vain, x.node) {
		b.vain = append(b.vain, x.node)
	}
}

// inVain says on which nodes nominations have ended since it was asked last.
func (b *book) inVain() (nodes []Node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	nodes, b.vain = b.vain, nil
	return nodes
}

// succeed hands what is on its way to a pod to the one that has come in its place with the
// same name, as those of DaemonSets and StatefulSets do, if that may go to the same node.
// It ends otherwise: there is one pod of a name at a time.
func (b *book) succeed(pod capacity.Pod, nodes []Node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for uid, x := range b.byPod {
		if uid == pod.UID || x.pod.Key != pod.Key {
			continue
		}
		b.removeLocked(uid)
		if _, has := b.byPod[pod.UID]; !has && slices.Contains(nodes, x.node) {
			x.pod = pod
			b.addLocked(x)
		}
	}
}

// add notes a nomination in the place of another one of its pod.
func (b *book) add(x nomination) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.removeLocked(x.pod.UID)
	b.addLocked(x)
}

// addLocked notes a nomination. Caller holds b.mu.
func (b *book) addLocked(x nomination) {
	b.byPod[x.pod.UID] = x
	if b.byNode[x.node] == nil {
		b.byNode[x.node] = map[types.UID]bool{}
	}
	b.byNode[x.node][x.pod.UID] = true
}

// removeLocked forgets the nomination of a pod. Caller holds b.mu.
func (b *book) removeLocked(pod types.UID) {
	x, has := b.byPod[pod]
	if !has {
		return
	}
	delete(b.byPod, pod)
	delete(b.byNode[x.node], pod)
	if len(b.byNode[x.node]) == 0 {
		delete(b.byNode, x.node)
	}
}

// change changes the nomination of a pod, if it has one still.
func (b *book) change(pod types.UID, f func(*nomination)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if x, has := b.byPod[pod]; has {
		f(&x)
		b.byPod[pod] = x
	}
}

// of finds the nomination of a pod.
func (b *book) of(pod types.UID) (nomination, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x, has := b.byPod[pod]
	return x, has
}

// on lists the nominations on a node.
func (b *book) on(n Node) (all []nomination) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for uid := range b.byNode[n] {
		all = append(all, b.byPod[uid])
	}
	return all
}

func (b *book) all() []nomination {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]nomination, 0, len(b.byPod))
	for _, x := range b.byPod {
		all = append(all, x)
	}
	return all
}
