package survey

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"slotwise.dev/slotwise/allocator/ledger"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/vpc"
)

// store keeps the pods of all nodes as a watch shows them, and those that have ended for
// as long as their addresses cool. It is safe for concurrent use.
type store struct {
	changed func()

	mu   sync.Mutex
	pods map[string]map[types.UID]Pod // by node
}

func newStore(changed func()) *store {
	return &store{changed: changed, pods: map[string]map[types.UID]Pod{}}
}

// handler feeds the store with what an informer says.
func (s *store) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, first bool) {
			if p, is := o.(*corev1.Pod); is && (!first || !pods.Finished(p)) { // of one that had ended before nobody knows when
				s.see(p, time.Now())
			}
		},
		UpdateFunc: func(_, o any) {
			if p, is := o.(*corev1.Pod); is {
				s.see(p, time.Now())
			}
		},
		DeleteFunc: func(o any) {
			if gone, is := o.(cache.DeletedFinalStateUnknown); is {
				o = gone.Obj
			}
			if p, is := o.(*corev1.Pod); is {
				s.end(p, time.Now())
			}
		},
	}
}

// see takes in a pod.
func (s *store) see(p *corev1.Pod, now time.Time) {
	if pods.Finished(p) {
		s.end(p, now)
		return
	}
	next := Pod{Pod: pods.New(p, vpc.Resource), Seen: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, known := s.pods[next.Node][next.UID]; known && was.Address == next.Address {
		if was.Pod == next.Pod {
			return
		}
		next.Seen = was.Seen
	}
	if s.pods[next.Node] == nil {
		s.pods[next.Node] = map[types.UID]Pod{}
	}
	s.pods[next.Node][next.UID] = next
	s.changed()
}

// end takes in that a pod has ended.
func (s *store) end(p *corev1.Pod, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, known := s.pods[p.Spec.NodeName][p.UID]
	if !known || !was.Ended.IsZero() {
		return
	}
	s.changed()
	if !was.Address.IsValid() { // nothing cools
		delete(s.pods[p.Spec.NodeName], p.UID)
		return
	}
	was.Ended = now
	s.pods[p.Spec.NodeName][p.UID] = was
}

// forgetAfter is how long a pod that has ended is remembered: until its address has
// cooled, and EC2 was seen to show it.
const forgetAfter = 2 * ledger.Cooldown

// of lists the pods of the given nodes, and forgets those that ended long ago. resting
// says that addresses cool.
func (s *store) of(nodes []*corev1.Node, now time.Time) (byNode map[string][]Pod, resting bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	byNode = map[string][]Pod{}
	for _, n := range nodes {
		for uid, p := range s.pods[n.Name] {
			if !p.Ended.IsZero() && now.Sub(p.Ended) > forgetAfter {
				delete(s.pods[n.Name], uid)
				continue
			}
			resting = resting || !p.Ended.IsZero()
			byNode[n.Name] = append(byNode[n.Name], p)
		}
	}
	return byNode, resting
}
