package witness

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/revision"
)

// Life is what is certain of one pod. Times are revisions; 0 is never.
type Life struct {
	UID       types.UID
	Name      string // namespace/name
	Scheduler string
	Node      string
	Priority  int32
	Only      string     // the one node that it may be on; empty: there are others
	Address   netip.Addr // the first that it had
	Changed   netip.Addr // another that it had later, which must never be

	Created int64
	Marked  int64 // first seen to have been preempted by a scheduler
	Leaving int64 // first seen to be on its way out

	Bound int64 // first seen on a node
	Bare  int64 // first seen on a node without an address
	From  int64 // first seen with its address
	Alive int64 // last known to live; the pod may have lived on
	Ended int64 // by then its end was known; 0: it lives

	Nominated bool // to a node on which it preempts
	Running   bool
	Rejected  string // what the kubelet said that did not admit it
}

// certain says whether it is certain that the pod lived and had its address at a
// revision.
func (l Life) certain(at int64) bool { return l.From > 0 && l.From <= at && at <= l.Alive }

// pods is the store of a reflector of all pods. It keeps what became of each,
// the ended ones included.
type pods struct {
	mu   sync.Mutex
	all  map[types.UID]*Life
	live map[types.UID]*Life
	at   int64 // what is known is as of this revision
	gaps int   // times that the watch was cut and changes may have been missed
}

func newPods() *pods {
	return &pods{all: map[types.UID]*Life{}, live: map[types.UID]*Life{}}
}

// Add is that of cache.ReflectorStore.
func (s *pods) Add(obj any) error { return s.Update(obj) }

// Update is that of cache.ReflectorStore.
func (s *pods) Update(obj any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := obj.(*corev1.Pod)
	s.at = max(s.at, revision.Of(p.ResourceVersion))
	s.see(p)
	return nil
}

// Delete is that of cache.ReflectorStore. The object has the revision of its end.
func (s *pods) Delete(obj any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := obj.(*corev1.Pod)
	s.at = max(s.at, revision.Of(p.ResourceVersion))
	s.end(p.UID, revision.Of(p.ResourceVersion)-1, revision.Of(p.ResourceVersion))
	return nil
}

// Replace is that of cache.ReflectorStore: a list, the first one or after the
// watch was cut for so long that changes were missed.
func (s *pods) Replace(objs []any, resourceVersion string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.at
	if before > 0 {
		s.gaps++
	}
	s.at = max(s.at, revision.Of(resourceVersion))
	listed := map[types.UID]bool{}
	for _, obj := range objs {
		p := obj.(*corev1.Pod)
		listed[p.UID] = true
		s.see(p)
	}
	for uid := range s.live {
		if !listed[uid] {
			s.end(uid, before, s.at)
		}
	}
	return nil
}

// Resync is that of cache.ReflectorStore.
func (s *pods) Resync() error { return nil }

// Bookmark is that of cache.ReflectorBookmarkStore.
func (s *pods) Bookmark(resourceVersion string) error {
	s.until(revision.Of(resourceVersion))
	return nil
}

// until takes up that everything is known as of a revision.
func (s *pods) until(revision int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = max(s.at, revision)
}

// see takes up a version of a pod. s is locked.
func (s *pods) see(p *corev1.Pod) {
	l := s.all[p.UID]
	if l == nil {
		l = &Life{
			UID: p.UID, Name: p.Namespace + "/" + p.Name, Scheduler: p.Spec.SchedulerName,
			Priority: priorityOf(p), Only: onlyNode(p), Created: revision.Of(p.ResourceVersion),
		}
		s.all[p.UID], s.live[p.UID] = l, l
	}
	now := revision.Of(p.ResourceVersion)
	l.depart(p, now)
	if !live(p) {
		l.Rejected = rejection(p)
		s.end(p.UID, now-1, now)
		return
	}
	l.Running = p.Status.Phase == corev1.PodRunning
	if p.Spec.NodeName == "" || p.Spec.HostNetwork {
		return
	}
	if l.Bound == 0 {
		l.Bound, l.Node = now, p.Spec.NodeName
	}
	switch address := addressOf(p); {
	case !address.IsValid():
		if l.Bare == 0 {
			l.Bare = now
		}
	case l.From == 0:
		l.From, l.Address = now, address
	case address != l.Address:
		l.Changed = address
	}
}

// depart takes up what a version of the pod tells of preemption, and of its end to come.
func (l *Life) depart(p *corev1.Pod, now int64) {
	l.Nominated = l.Nominated || p.Status.NominatedNodeName != ""
	if l.Marked == 0 && preempted(p) {
		l.Marked = now
	}
	if l.Leaving == 0 && p.DeletionTimestamp != nil {
		l.Leaving = now
	}
}

// end takes up the end of a pod, between two revisions. s is locked.
func (s *pods) end(uid types.UID, alive, ended int64) {
	if l := s.live[uid]; l != nil {
		delete(s.live, uid)
		l.Alive, l.Ended, l.Running = alive, ended, false
	}
}

// lives copies what is known of all pods.
func (s *pods) lives() []Life {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Life, 0, len(s.all))
	for _, l := range s.all {
		c := *l
		if c.Ended == 0 {
			c.Alive = s.at
		}
		all = append(all, c)
	}
	return all
}

// rejection is what a kubelet says of a pod that it has not admitted, for want of
// something or for a reason of its own (Kubernetes 1.37,
// pkg/kubelet/lifecycle/predicate.go).
func rejection(p *corev1.Pod) string {
	if strings.HasPrefix(p.Status.Reason, "OutOf") || p.Status.Reason == "UnexpectedAdmissionError" {
		return p.Status.Reason + ": " + p.Status.Message
	}
	return ""
}

// addressOf reads the address that the CNI plugin would give to a pod; invalid
// where there is none that it could read.
func addressOf(p *corev1.Pod) netip.Addr {
	address, err := netip.ParsePrefix(p.Annotations[annotation])
	if err != nil {
		return netip.Addr{}
	}
	return address.Addr()
}

// preempted says that a scheduler has chosen a pod to make room for another (Kubernetes
// 1.37, pkg/scheduler/framework/preemption/executor.go).
func preempted(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && c.Reason == corev1.PodReasonPreemptionByScheduler
	})
}

func priorityOf(p *corev1.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// onlyNode finds the node that a pod asks for by its hostname, or by its name as the
// pods of DaemonSets do.
func onlyNode(p *corev1.Pod) string {
	if name := p.Spec.NodeSelector[corev1.LabelHostname]; name != "" {
		return name
	}
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, f := range term.MatchFields {
			if len(f.Values) == 1 {
				return f.Values[0]
			}
		}
	}
	return ""
}
