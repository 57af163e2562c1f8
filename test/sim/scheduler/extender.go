package scheduler

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"
)

// Extender is what the scheduler asks of an extender with nodeCacheCapable
// (pkg/scheduler/extender.go). All but Bind are called by one goroutine, and hold up all
// other pods for as long as they take. An error is one of the network, or one that the
// extender answers; the scheduler makes no difference. A pod that is passed is never
// changed, so what is made of it may be kept.
type Extender interface {
	// Filter says which nodes fit, and why the others do not.
	Filter(ctx context.Context, p *corev1.Pod, nodes []string) (*extenderv1.ExtenderFilterResult, error)
	// Prioritize scores nodes from 0 to 10. An error counts for nothing.
	Prioritize(ctx context.Context, p *corev1.Pod, nodes []string) (extenderv1.HostPriorityList, error)
	// Bind binds a pod, and answers once it is bound.
	Bind(ctx context.Context, p *corev1.Pod, node string) error
	// Preempt says which of the candidates, and which of their victims, remain.
	Preempt(ctx context.Context, p *corev1.Pod, candidates map[string]*extenderv1.MetaVictims) (map[string]*extenderv1.MetaVictims, error)
}

// extension is the extender as it is configured.
type extension struct {
	Extender // nil: there is none
	managed  corev1.ResourceName
	weight   int64
}

// interested says that the extender has a say in a pod: that a container asks for the
// resource that it manages, or limits it (extender.go IsInterested).
func (e extension) interested(p *corev1.Pod) bool {
	return e.Extender != nil && (asksFor(p.Spec.Containers, e.managed) || asksFor(p.Spec.InitContainers, e.managed))
}

func asksFor(containers []corev1.Container, resource corev1.ResourceName) bool {
	for i := range containers {
		r := &containers[i].Resources
		if _, asks := r.Requests[resource]; asks {
			return true
		}
		if _, limits := r.Limits[resource]; limits {
			return true
		}
	}
	return false
}
