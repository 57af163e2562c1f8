package apiserver

import (
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/api/v1alpha1"
)

// Server is the API server with what it stores. It is safe for concurrent use, and must
// be made inside the bubble in which it is used. Its process can go down, come up, freeze
// and thaw.
type Server struct {
	*life
	store    *store
	recorder *recorder
}

// New makes an empty Server.
func New() *Server {
	store := newStore()
	return &Server{life: &life{cut: store.cut}, store: store, recorder: &recorder{}}
}

// Close ends the server: watches end, and what would be written late is not.
func (s *Server) Close() {
	s.store.writing.Lock()
	s.store.closed = true
	s.store.writing.Unlock()
	s.store.cut()
}

// Observe has f called at each commit, in order, before the one who asked for it hears of
// it. f may read Tables; it must not write, and must not wait.
func (s *Server) Observe(f func(Event)) {
	s.store.writing.Lock()
	defer s.store.writing.Unlock()
	s.store.observers = append(s.store.observers, f)
}

// RefuseEvictions sets which running pods must not be evicted, as a disruption budget
// would; nil: none. refused is called within a transaction: it must not write, and must
// not wait.
func (s *Server) RefuseEvictions(refused func(*corev1.Pod) bool) {
	s.store.writing.Lock()
	defer s.store.writing.Unlock()
	s.store.budget = refused
}

// Version is the version of the last commit.
func (s *Server) Version() uint64 { return s.store.last() }

// Pods is the exact access to pods.
func (s *Server) Pods() Table[*corev1.Pod] { return Table[*corev1.Pod]{s, Pods} }

// Nodes is the exact access to Nodes.
func (s *Server) Nodes() Table[*corev1.Node] { return Table[*corev1.Node]{s, Nodes} }

// NodeSlots is the exact access to NodeSlots.
func (s *Server) NodeSlots() Table[*v1alpha1.NodeSlots] {
	return Table[*v1alpha1.NodeSlots]{s, NodeSlots}
}

// Leases is the exact access to Leases.
func (s *Server) Leases() Table[*coordinationv1.Lease] {
	return Table[*coordinationv1.Lease]{s, Leases}
}

// ConfigMaps is the exact access to ConfigMaps.
func (s *Server) ConfigMaps() Table[*corev1.ConfigMap] {
	return Table[*corev1.ConfigMap]{s, ConfigMaps}
}

// Deployments is the exact access to Deployments.
func (s *Server) Deployments() Table[*appsv1.Deployment] {
	return Table[*appsv1.Deployment]{s, Deployments}
}
