package scheduler

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// executor deletes the victims of preemption (framework/preemption/executor.go).
type executor struct {
	memory    *memory
	writer    writer
	preempted func(p, victim *corev1.Pod, node string)
	work      *sync.WaitGroup
}

// evict deletes the victims of a pod beside all else, the last one only once the others are
// deleted, and ends the nominations of less important pods on the node. The pod is not
// tried before that is done. Victims that stop already need no more
// (prepareCandidateAsync).
func (e *executor) evict(ctx context.Context, p *podInfo, c candidate) {
	var victims []*corev1.Pod
	for _, v := range c.victims {
		if v.pod.DeletionTimestamp == nil {
			victims = append(victims, v.pod)
		}
		e.preempted(p.pod, v.pod, c.node)
	}
	if len(victims) == 0 {
		return
	}
	e.memory.gate(p.pod.UID, nil)
	e.work.Go(func() {
		failed := e.deleteAll(ctx, p, c.node, victims)
		e.memory.ungate(p.pod, failed)
	})
}

func (e *executor) deleteAll(ctx context.Context, p *podInfo, node string, victims []*corev1.Pod) (failed bool) {
	failed = e.endNominations(ctx, p, node) != nil
	last := victims[len(victims)-1]
	var all sync.WaitGroup
	errs := make([]error, len(victims)-1)
	for i, v := range victims[:len(victims)-1] {
		all.Go(func() { errs[i] = e.deleteVictim(ctx, p.pod, v) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return true
		}
	}
	key := keyOf(last)
	e.memory.gate(p.pod.UID, &key)
	return e.deleteVictim(ctx, p.pod, last) != nil || failed
}

// deleteVictim tells in a victim's status why it goes, and deletes it: by its name, so that
// another pod that has it by now goes instead (NewExecutor). One that has gone is no error.
func (e *executor) deleteVictim(ctx context.Context, p, victim *corev1.Pod) error {
	c := corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler,
		Message: p.Spec.SchedulerName + ": preempting to accommodate a higher priority pod",
	}
	if differs(&victim.Status, c) {
		err := e.writer.PatchStatus(ctx, keyOf(victim), func(now *corev1.PodStatus) bool { return setCondition(now, c) })
		if err != nil {
			return ignoreNotFound(err)
		}
	}
	return ignoreNotFound(e.writer.Delete(ctx, keyOf(victim)))
}

// endNominations ends those of less important pods on a node (clearNominatedNodeName).
func (e *executor) endNominations(ctx context.Context, p *podInfo, node string) (err error) {
	for _, other := range e.memory.nominated(node) {
		if other.priority >= p.priority || other.pod.Status.NominatedNodeName == "" {
			continue
		}
		end := statusPatch{nomination: none}
		if failed := e.writer.PatchStatus(ctx, keyOf(other.pod), end.apply); failed != nil {
			err = failed
		}
	}
	return err
}
