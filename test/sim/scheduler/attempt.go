package scheduler

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// outcome is how an attempt to place a pod has ended.
type outcome struct {
	node       string      // where it is to go; empty: nowhere
	rejected   bool        // by plugins or the extender, and not by an error
	rejectors  plugins     // whose hints decide when it is tried again; none: it is tried after its back-off
	message    string      // of its condition
	nomination *nomination // what becomes of it; nil: it stays
}

func failure(err error) outcome { return outcome{message: err.Error(), nomination: none} }

// attempt tries to place one pod, and has it bound beside the attempts of others
// (schedule_one.go scheduleOnePod).
func (s *Scheduler) attempt(ctx context.Context, q *queued) {
	if s.memory.skips(q.info.pod) {
		return
	}
	if s.o.Cycle > 0 && !sleep(ctx, s.o.Cycle) {
		return
	}
	o := s.place(ctx, q.info)
	if o.node == "" {
		s.comesBack(ctx, q, o)
		return
	}
	if err := s.memory.assume(q.info, o.node); err != nil {
		s.comesBack(ctx, q, failure(err))
		return
	}
	s.work.Go(func() { s.bind(ctx, q, o.node) })
}

// place looks for the best node, and if there is none, for pods to be evicted
// (schedulingAlgorithm, schedulePod).
func (s *Scheduler) place(ctx context.Context, p *podInfo) outcome {
	nodes := s.memory.nodes()
	if len(nodes) == 0 {
		return outcome{rejected: true, message: "no nodes available to schedule pods", nomination: none}
	}
	fit, d, err := s.finder.find(ctx, p, nodes)
	switch {
	case err != nil:
		return failure(err)
	case len(fit) == 0:
		x, note := s.preemptor.preempt(ctx, p, nodes, d)
		o := outcome{rejected: true, rejectors: d.rejectors, message: d.String(), nomination: x}
		if note != "" {
			o.message += " preemption: " + note
		}
		return o
	case len(fit) == 1:
		return outcome{node: fit[0].name()}
	}
	return outcome{node: s.best(ctx, p, fit)}
}

// best is the node with the highest score, and one of them where there are several
// (prioritizeNodes, framework/sorted_nodes.go).
func (s *Scheduler) best(ctx context.Context, p *podInfo, nodes []*nodeInfo) string {
	scores := make(map[string]int64, len(nodes))
	if s.finder.extension.interested(p.pod) {
		// An error gives no scores, and is no more than that.
		list, _ := s.finder.extension.Prioritize(ctx, p.pod, namesOf(nodes))
		for _, x := range list {
			scores[x.Host] += x.Score * s.finder.extension.weight * (maxScore / 10)
		}
	}
	best, score, alike := "", int64(-1), 0
	for _, n := range nodes {
		x := scores[n.name()] + leastAllocated(p, n)
		switch {
		case x > score:
			best, score, alike = n.name(), x, 1
		case x == score:
			if alike++; s.random.IntN(alike) == 0 {
				best = n.name()
			}
		}
	}
	return best
}

// bind binds a pod that is assumed. What happens from now on is not kept for it: if it
// comes back it is by an error, which means a back-off and another attempt
// (bindingCycle, handleBindingCycleError).
func (s *Scheduler) bind(ctx context.Context, q *queued, node string) {
	p := q.info.pod
	s.memory.binds(p)
	err := s.send(ctx, p, node)
	if err == nil {
		return
	}
	s.memory.forget(p, node)
	s.comesBack(ctx, q, failure(err))
}

// send has the extender bind a pod, or binds it by itself where that is not interested
// (schedule_one.go bind).
func (s *Scheduler) send(ctx context.Context, p *corev1.Pod, node string) error {
	if s.finder.extension.interested(p) {
		return s.finder.extension.Bind(ctx, p, node)
	}
	return s.writer.Bind(ctx, p, node)
}

// sleep waits; false: ctx has ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
