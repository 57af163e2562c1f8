package scheduler

import (
	"context"
	"math/rand/v2"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// ServiceOptions are what a Service is made of.
type ServiceOptions struct {
	// Server is reached through Client, whose link says how long it takes until
	// EndpointSlice controller and kube-proxy have taken up a change. Required, both.
	Server *apiserver.Server
	Client *apiserver.Client
	// Selects says which pods the Service selects by their labels. Required.
	Selects func(*corev1.Pod) bool
	// Find finds the process in a pod; nil: it does not run, and refuses connections.
	// Required.
	Find func(pod types.NamespacedName) *Replica
	Seed uint64
}

// Service leads connections to a pod that is ready, of those that it has been told to
// select: late, so that it may be one that leads no more. While the API server is away it
// keeps to what it knew last, as kube-proxy does.
type Service struct {
	o         ServiceOptions
	endpoints *apiserver.Informer[*corev1.Pod]

	mu     sync.Mutex // guards random
	random *rand.Rand
}

// NewService makes a Service that follows its pods until ctx ends.
func NewService(ctx context.Context, o ServiceOptions) *Service {
	selected := func(p *corev1.Pod) bool { return o.Selects(p) && ready(p) }
	return &Service{
		o:         o,
		endpoints: o.Server.Pods().Via(o.Client).Informer(ctx, selected, nil),
		random:    rand.New(rand.NewPCG(o.Seed, 2)),
	}
}

// Dial is for a Dialer. Without an endpoint a connection is refused.
func (s *Service) Dial() (*Replica, error) {
	pods := s.endpoints.List()
	if len(pods) == 0 {
		return nil, ErrRefused
	}
	s.mu.Lock()
	p := pods[s.random.IntN(len(pods))]
	s.mu.Unlock()
	r := s.o.Find(keyOf(p))
	if r == nil {
		return nil, ErrRefused
	}
	select {
	case <-r.Done:
		return nil, ErrRefused
	default:
		return r, nil
	}
}

// ready says that a pod is an endpoint. A pod without conditions is taken for one that is
// ready, so that whoever makes pods of replicas need not play their kubelet.
func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil
		}
	}
	return p.DeletionTimestamp == nil
}
