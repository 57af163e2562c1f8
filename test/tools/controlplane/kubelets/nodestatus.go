package main

import (
	"context"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodeStatus keeps a Node Ready, whoever says otherwise. Capacity, allocatable and
// taints that others write stay as they are.
type nodeStatus struct {
	writer  *writer
	changed chan struct{}

	mu   sync.Mutex
	node *corev1.Node // the latest
}

func newNodeStatus(w *writer) *nodeStatus {
	return &nodeStatus{writer: w, changed: make(chan struct{}, 1)}
}

func (s *nodeStatus) see(n *corev1.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node = n
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *nodeStatus) latest() *corev1.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

func (s *nodeStatus) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
			s.write(ctx, s.latest())
		}
	}
}

// write does the kubelet's part, conditions, and that of the node lifecycle
// controller: admission puts a taint on each new Node.
func (s *nodeStatus) write(ctx context.Context, n *corev1.Node) {
	ready := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	if !ready {
		s.writer.patchNode(ctx, n.Name, map[string]any{"status": map[string]any{"conditions": nodeConditions()}}, "status")
	}
	if taints := slices.DeleteFunc(slices.Clone(n.Spec.Taints), notReady); len(taints) < len(n.Spec.Taints) {
		// The list is replaced as a whole, so it must be the one that was read.
		s.writer.patchNode(ctx, n.Name, map[string]any{
			"metadata": map[string]any{"resourceVersion": n.ResourceVersion},
			"spec":     map[string]any{"taints": taints},
		})
	}
}

func notReady(t corev1.Taint) bool { return t.Key == corev1.TaintNodeNotReady }

// nodeConditions are those of a node that is well.
func nodeConditions() []corev1.NodeCondition {
	now := metav1.Now()
	condition := func(t corev1.NodeConditionType, status corev1.ConditionStatus, reason string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: t, Status: status, Reason: reason, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	return []corev1.NodeCondition{
		condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady"),
		condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory"),
		condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure"),
		condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID"),
	}
}
