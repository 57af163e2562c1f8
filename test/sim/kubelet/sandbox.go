package kubelet

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// sandbox is a pod as it runs. Its address is the one that the CNI plugin has read when the
// sandbox was made; nobody changes that any more.
type sandbox struct {
	address string
	ends    time.Time       // by itself; zero: never
	phase   corev1.PodPhase // in which it then ends
}

// sandboxes are those of one machine.
type sandboxes struct {
	dice *dice
	lag  apiserver.Spread // of the teardown of one whose pod's object has gone

	mu  sync.Mutex // guards all
	all map[types.UID]*sandbox
}

// of is the sandbox of a pod; nil: there is none.
func (s *sandboxes) of(pod types.UID) *sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[pod]
}

// start makes the sandbox of a pod.
func (s *sandboxes) start(p *corev1.Pod) *sandbox {
	x := &sandbox{address: address(p)}
	x.ends, x.phase = ends(p, time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[p.UID] = x
	return x
}

func (s *sandboxes) tearDown(pod types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, pod)
}

// abandon takes down a sandbox whose pod's object has gone, even if the kubelet's life ends
// before.
func (s *sandboxes) abandon(pod types.UID) {
	if s.of(pod) != nil {
		time.AfterFunc(s.dice.draw(s.lag), func() { s.tearDown(pod) })
	}
}

func (s *sandboxes) addresses() map[types.UID]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[types.UID]string, len(s.all))
	for pod, x := range s.all {
		all[pod] = x.address
	}
	return all
}
