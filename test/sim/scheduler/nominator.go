package scheduler

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// lister is the pods that have not ended, as the watch has shown them.
type lister map[types.NamespacedName]*corev1.Pod

// nominator knows for which pods a node was made free by evictions, or is being
// (backend/queue/nominator.go). A nominated pod counts there for pods of the same or a
// lower priority, beside its victims as long as they are there. Guarded by
// memory.mu.
type nominator struct {
	known lister
	node  map[types.UID]string
	pods  map[string][]nominatedPod // by node
}

type nominatedPod struct {
	uid types.UID
	key types.NamespacedName
}

func newNominator(known lister) *nominator {
	return &nominator{known: known, node: map[types.UID]string{}, pods: map[string][]nominatedPod{}}
}

// nomination says what becomes of a pod's nomination after an attempt; nil: it stays as the
// pod's status has it. An empty node ends it (framework's NominatingInfo, ModeOverride).
type nomination struct{ node string }

// none ends a nomination (schedule_one.go clearNominatedNode).
var none = &nomination{}

// add notes a pod's nomination (addNominatedPodUnlocked). One that has gone, or is bound,
// has none.
func (m *nominator) add(p *corev1.Pod, x *nomination) {
	m.remove(p.UID)
	node := p.Status.NominatedNodeName
	if x != nil {
		node = x.node
	}
	if node == "" {
		return
	}
	if now := m.known[keyOf(p)]; now == nil || now.Spec.NodeName != "" {
		return
	}
	m.node[p.UID] = node
	m.pods[node] = append(m.pods[node], nominatedPod{p.UID, keyOf(p)})
}

// update takes up another version of a pod. A version that does not have the nomination
// yet does not end it (UpdateNominatedPod).
func (m *nominator) update(before, after *corev1.Pod) {
	var x *nomination
	if node, there := m.node[before.UID]; there && before.Status.NominatedNodeName == "" && after.Status.NominatedNodeName == "" {
		x = &nomination{node}
	}
	m.remove(before.UID)
	m.add(after, x)
}

func (m *nominator) remove(uid types.UID) {
	node, there := m.node[uid]
	if !there {
		return
	}
	delete(m.node, uid)
	m.pods[node] = slices.DeleteFunc(m.pods[node], func(p nominatedPod) bool { return p.uid == uid })
	if len(m.pods[node]) == 0 {
		delete(m.pods, node)
	}
}

// preempting is the pods whose victims are being deleted right now. They are not tried
// until that is done (framework/preemption/executor.go). Guarded by memory.mu.
type preempting struct {
	known lister
	// last is the last victim, once it alone is left; nil: it is not.
	last map[types.UID]*types.NamespacedName
}

func newPreempting(known lister) *preempting {
	return &preempting{known: known, last: map[types.UID]*types.NamespacedName{}}
}

// gates says that a pod must not be tried yet. If the deletion of its last victim has been
// seen, the answer to it need not be waited for (isRunningPreemption).
func (p *preempting) gates(uid types.UID) bool {
	last, there := p.last[uid]
	if !there || last == nil {
		return there
	}
	victim := p.known[*last]
	return victim != nil && victim.DeletionTimestamp == nil
}
