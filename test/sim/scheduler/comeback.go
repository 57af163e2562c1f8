package scheduler

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// comesBack has a pod whose attempt has failed wait again, notes its nomination, and writes
// both into its status. After a scheduling cycle all other pods wait for that write
// (schedule_one.go handleSchedulingFailure). If it fails, that is logged, no more.
func (s *Scheduler) comesBack(ctx context.Context, q *queued, o outcome) {
	p := s.memory.takeBack(q, o)
	if p == nil {
		return
	}
	s.o.Failed(p, o.rejected, o.message)
	if x := newStatusPatch(&p.Status, o); !x.empty() {
		_ = s.writer.PatchStatus(ctx, keyOf(p), x.apply)
	}
}

// statusPatch is what the scheduler writes into a pod's status: only what differs from the
// status that its watch has shown it (updatePod, util/utils.go PatchPodStatus).
type statusPatch struct {
	nomination *nomination          // nil: as it is
	condition  *corev1.PodCondition // nil: as it is
}

func newStatusPatch(known *corev1.PodStatus, o outcome) (x statusPatch) {
	if o.nomination != nil && known.NominatedNodeName != o.nomination.node {
		x.nomination = o.nomination
	}
	reason := corev1.PodReasonSchedulerError
	if o.rejected {
		reason = corev1.PodReasonUnschedulable
	}
	c := corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: reason, Message: o.message}
	if differs(known, c) {
		x.condition = &c
	}
	return x
}

func (x statusPatch) empty() bool { return x.nomination == nil && x.condition == nil }

// apply changes a status, and says whether that changed anything.
func (x statusPatch) apply(status *corev1.PodStatus) (changed bool) {
	if x.nomination != nil && status.NominatedNodeName != x.nomination.node {
		status.NominatedNodeName, changed = x.nomination.node, true
	}
	return x.condition != nil && setCondition(status, *x.condition) || changed
}

// differs says whether a condition is not in a status as it is
// (pkg/api/v1/pod/util.go UpdatePodCondition).
func differs(status *corev1.PodStatus, c corev1.PodCondition) bool {
	for _, old := range status.Conditions {
		if old.Type == c.Type {
			return old.Status != c.Status || old.Reason != c.Reason || old.Message != c.Message
		}
	}
	return true
}

// setCondition puts a condition in the place of that of its type, and says whether that
// changed anything.
func setCondition(status *corev1.PodStatus, c corev1.PodCondition) bool {
	if !differs(status, c) {
		return false
	}
	c.LastTransitionTime = metav1.Now()
	for i := range status.Conditions {
		if old := &status.Conditions[i]; old.Type == c.Type {
			if old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
			*old = c
			return true
		}
	}
	status.Conditions = append(status.Conditions, c)
	return true
}
