// Package judge judges a simulation. It feeds the witness, which shares no code with the
// product, with everything that the API server writes and EC2's exact record, and adds
// what only a simulation can see: that EC2 is not called in storms, that what is at rest
// is at rest, and that replicas end when they are to.
package judge

import (
	"fmt"
	"hash"
	"hash/fnv"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/sim/kubelet"
	"slotwise.dev/slotwise/test/witness"
)

// The kinds of violations that the witness does not know.
const (
	Storm      witness.Kind = "EC2 calls in a storm"
	NotAtRest  witness.Kind = "EC2 calls that change something at rest"
	NotRunning witness.Kind = "pods that have an address and do not run"
	Waiting    witness.Kind = "pods that waited though they fit elsewhere"
	Endless    witness.Kind = "replicas that did not end"
	Broke      witness.Kind = "panics and deadlocks"
)

// Judge watches a simulation. See New.
type Judge struct {
	*witness.Witness
	namespace string
	server    *apiserver.Server
	ec2       *ec2sim.Server
	clock     *clock

	mu       sync.Mutex // guards all below
	trace    hash.Hash64
	recorded int // events that the witness has been told of
	leader   string
	renewed  time.Time // the lease, last
	found    []witness.Violation
}

// New has a judge watch from now on. namespace is that of the pods, scheduler the one that
// binds through the extender.
func New(server *apiserver.Server, ec2 *ec2sim.Server, namespace, scheduler string) *Judge {
	c := &clock{}
	j := &Judge{
		Witness:   witness.New(c, ec2, scheduler),
		namespace: namespace, server: server, ec2: ec2, clock: c, trace: fnv.New64a(), renewed: time.Now(),
	}
	server.Observe(j.see)
	return j
}

// see takes up a commit.
func (j *Judge) see(e apiserver.Event) {
	j.clock.note(int64(e.Version), e.At)
	j.mu.Lock()
	fmt.Fprintf(j.trace, "%d %s %s %s\n", e.At.UnixNano(), e.Kind, e.Type, e.New.GetName())
	j.mu.Unlock()
	if l, is := e.New.(*coordinationv1.Lease); is && l.Spec.HolderIdentity != nil {
		j.leads(*l.Spec.HolderIdentity)
	}
	if p, is := e.New.(*corev1.Pod); is && p.Namespace == j.namespace {
		if e.Type == watch.Deleted {
			j.Gone(p)
		} else {
			j.Pod(p)
		}
	}
	j.Until(int64(e.Version))
}

// leads takes up who holds the lease, empty where it was given up. The holder before may not
// know yet that it is another.
func (j *Judge) leads(holder string) {
	j.mu.Lock()
	took := holder != "" && holder != j.leader
	vacant := time.Since(j.renewed)
	if took {
		j.leader = holder
	}
	if holder != "" {
		j.renewed = time.Now()
	}
	j.mu.Unlock()
	if took {
		j.Note(witness.Note{Text: holder + " takes the lease", Harm: true, Took: true, Vacant: vacant})
	}
}

// Trace is a figure of everything that was written, and when: two runs with the same one
// were the same.
func (j *Judge) Trace() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.ec2.Changes() {
		fmt.Fprintf(j.trace, "%d %s %s %v\n", c.Time.UnixNano(), c.ENI, c.Range, c.Assigned)
	}
	return j.trace.Sum64()
}

// Preempted takes up that a scheduler evicts a pod for another one.
func (j *Judge) Preempted(p, victim *corev1.Pod, node string) {
	j.Event(&corev1.Event{
		InvolvedObject: corev1.ObjectReference{UID: victim.UID},
		Reason:         "Preempted",
		Message:        fmt.Sprintf("Preempted by pod %s on node %s", p.UID, node),
		EventTime:      metav1.MicroTime{Time: time.Now()},
	})
}

// readEvents tells the witness of the events that Slotwise has recorded.
func (j *Judge) readEvents() {
	all := j.server.Recorded()
	j.mu.Lock()
	from := min(j.recorded, len(all))
	j.recorded = len(all)
	j.mu.Unlock()
	for _, r := range all[from:] {
		j.Event(&corev1.Event{
			InvolvedObject: r.Regarding, Reason: r.Reason, Message: r.Note, EventTime: metav1.MicroTime{Time: r.At},
		})
	}
}

// Found adds a violation that somebody else has found.
func (j *Judge) Found(kind witness.Kind, format string, args ...any) {
	v := witness.Violation{Kind: kind, At: time.Now(), Text: fmt.Sprintf(format, args...)}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.found = append(j.found, v)
}

// All are all violations so far that nothing excuses.
func (j *Judge) All() (broken []witness.Violation) {
	j.readEvents()
	j.mu.Lock()
	found := append([]witness.Violation(nil), j.found...)
	j.mu.Unlock()
	found = append(found, j.storms()...)
	found = append(found, j.Violations()...)
	for _, v := range found {
		if v.Broken() {
			broken = append(broken, v)
		}
	}
	return broken
}

// State is what the API server has, exactly.
func (j *Judge) State() witness.State {
	state := witness.State{Shown: map[string]witness.Shown{}}
	for _, n := range j.server.Nodes().List() {
		if n.Labels[corev1.LabelOSStable] == string(corev1.Windows) {
			state.Nodes = append(state.Nodes, *n)
		}
	}
	for _, p := range j.server.Pods().List() {
		if p.Namespace == j.namespace {
			state.Pods = append(state.Pods, *p)
		}
	}
	for _, s := range j.server.NodeSlots().List() {
		x := s.Status
		state.Shown[s.Name] = witness.Shown{
			Mode: x.Mode, NetworkInterface: x.NetworkInterface, Subnet: x.Subnet, Slots: int(x.Slots),
			SecondaryIPs: int(x.SecondaryIPs), Prefixes: int(x.Prefixes), InUse: int(x.InUse), Free: int(x.Free),
			Cooling: int(x.Cooling), Waiting: int(x.Waiting), Remaining: int(x.Remaining), Usable: int(x.Usable),
		}
	}
	return state
}

// AtRest is what is not as it must be once nothing happens any more.
func (j *Judge) AtRest(s witness.Settings) []witness.Violation {
	j.readEvents()
	state := j.State()
	found := j.Rest(state, s)
	for i := range state.Pods {
		p := &state.Pods[i]
		has := p.Spec.NodeName != "" && p.Annotations[kubelet.AddressAnnotation] != ""
		if has && p.Status.Phase == corev1.PodPending && p.DeletionTimestamp == nil {
			found = append(found, witness.Violation{Kind: NotRunning, At: time.Now(), Text: p.Name + " on " + p.Spec.NodeName + " does not run"})
		}
	}
	return found
}

// Counts counts pods by what has become of them.
func (j *Judge) Counts() map[string]int {
	counts := map[string]int{}
	for _, l := range j.Lives() {
		counts["pods created"]++
		if l.Bound > 0 {
			counts["pods bound"]++
		}
		if l.Ended > 0 {
			counts["pods ended"]++
		}
		if l.Rejected != "" {
			counts["pods rejected by a kubelet, whoever bound them"]++
		}
	}
	t := j.Tally()
	counts["pods preempted"], counts["pods that preempted"] = t.Victims, t.Preemptors
	counts["pods told that their address is lost"] = t.AddressLost
	counts["EC2 refusals that nobody could have known of"] = j.Excused()
	for _, c := range j.ec2.Calls() {
		outcome := "done"
		switch {
		case c.Fault != "":
			outcome = "struck by " + string(c.Fault)
		case c.Code != "":
			outcome = c.Code
		}
		counts["EC2 "+c.Action+": "+outcome]++
	}
	return counts
}
