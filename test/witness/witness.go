// Package witness looks at a cluster and its EC2 from outside and says for
// certain where Slotwise has broken a promise. It shares no code with what it
// judges: who held which address it reads from what the API server wrote, what the
// interfaces had from the simulated EC2's record of changes, and it does its own
// arithmetic.
//
// It counts only what is certain. On a real cluster it has a watch of its own (Watch),
// which tells of things late, more so while the API server is away; so times are not
// those at which something was seen: they come from the revisions of the API server
// (package revision). What happened while the watch was cut and nobody could see it is
// not counted. In a simulation everything that is written is fed to it (New), with the
// exact time.
package witness

import (
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/ec2sim"
)

// Witness sees everything, and judges. See New and Watch.
type Witness struct {
	clock Clock
	pods  *pods
	// What is told of pods: by whom they were preempted, and that their address is lost.
	preempted, addressLost *events

	ec2 EC2

	mu      sync.Mutex
	cluster cluster
	notes   []Note
}

// Note is something that was done to the system under test.
type Note struct {
	At   time.Time
	Text string
	Harm bool // to the process that leads: another one may lead from now on
	Took bool // that it does is certain: it has taken the lease
	Thaw bool // of a leader that had been frozen for longer than its lease
	// Vacant is for how long before nobody is known to have led: the one that led had not
	// renewed the lease.
	Vacant time.Duration
	// Node, where set, is one whose Node object or capacity somebody else has meddled with.
	Node string
	// Tainted, where set, is a Node that takes no new pods from now on, or does so again,
	// where Taint is not set.
	Tainted string
	Taint   bool
	// Hinders is for how long it keeps Slotwise from hearing of what others do, and from
	// putting it right: the API server is slow, loses requests, or is away.
	Hinders time.Duration
	// Lag is how far behind watches may be meanwhile, those of kubelets among them.
	Lag time.Duration
	// Cuts says that it ends watches, those of kubelets among them, which come back only
	// after a pause.
	Cuts bool
	// Late is how much later than asked for writes may be done that were asked for meanwhile,
	// after their client was told of a timeout.
	Late time.Duration
	// Hidden, where set, is a subnet of which so many more accounts use addresses that no
	// describe shows; fewer, where Users is negative.
	Hidden string
	Users  int
	// Prefixes, where set, is the mode from now on.
	Prefixes *bool
	// Off, where set, says whether Slotwise is off from now on, by its settings or because
	// another allocator stands.
	Off *bool
}

// New makes a witness that is fed with what is written: with Pod, Gone and Event, in the
// order of revisions. scheduler is the name of the one that binds through the extender.
func New(clock Clock, ec2 EC2, scheduler string) *Witness {
	return &Witness{clock: clock, pods: newPods(), preempted: newEvents(), addressLost: newEvents(), ec2: ec2, cluster: newCluster(scheduler)}
}

// Pod takes up a version of a pod.
func (w *Witness) Pod(p *corev1.Pod) { _ = w.pods.Update(p) } // it never fails

// Gone takes up that a pod was removed; the object has the revision of its end.
func (w *Witness) Gone(p *corev1.Pod) { _ = w.pods.Delete(p) } // it never fails

// Event takes up an event about a pod.
func (w *Witness) Event(e *corev1.Event) {
	switch e.Reason {
	case reasonPreempted:
		_ = w.preempted.Update(e) // it never fails
	case reasonAddressLost:
		_ = w.addressLost.Update(e) // it never fails
	}
}

// Until says that everything up to a revision has been seen.
func (w *Witness) Until(revision int64) { w.pods.until(revision) }

// Node tells the witness which interface a node has from now on. It must be known before
// pods come to the node.
func (w *Witness) Node(name string, eni ec2sim.Interface) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cluster.settle(name, eni, time.Now())
}

// MaxPods tells the witness how many pods the kubelet of a node takes from now on. Where
// it is not told, they are more than there may be addresses for.
func (w *Witness) MaxPods(name string, pods int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cluster.limits[name] = append(w.cluster.limits[name], limit{time.Now(), pods})
}

// Note writes down what was done to the system, for the histories and for what
// is to be excused.
func (w *Witness) Note(n Note) {
	n.At = time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, n)
}

// Notes are all notes so far.
func (w *Witness) Notes() []Note {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Note(nil), w.notes...)
}

// Lives are all pods that were seen so far.
func (w *Witness) Lives() []Life { return w.pods.lives() }

// Gaps is how often the watch was cut for so long that changes may have been
// missed.
func (w *Witness) Gaps() int {
	w.pods.mu.Lock()
	defer w.pods.mu.Unlock()
	return w.pods.gaps
}

// Violations are all that are certain so far, oldest first.
func (w *Witness) Violations() []Violation { return judge(w.evidence()) }

// Excused counts the calls that EC2 refused by its own rules, but that rested on
// what nobody could have known in time.
func (w *Witness) Excused() (n int) {
	e := w.evidence()
	for _, c := range e.calls {
		if refused(c) && e.excused(c) {
			n++
		}
	}
	return n
}

func (w *Witness) evidence() evidence {
	e := evidence{
		clock: w.clock, pods: w.pods.lives(), changes: w.ec2.Changes(), calls: w.ec2.Calls(), subnets: w.ec2.Subnets(),
		notes: w.Notes(), cluster: w.known(), now: time.Now(),
	}
	e.preemptors = w.preemptors(e.pods)
	return e
}

// known copies what is known of nodes.
func (w *Witness) known() cluster {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.cluster
	all.homes, all.subnet, all.kind, all.limits = maps.Clone(all.homes), maps.Clone(all.subnet), maps.Clone(all.kind), maps.Clone(all.limits)
	return all
}

// promptly is how soon after it marks a victim the scheduler tells of it. What is told
// later is of another preemptor, who found the victim on its way out; the event of the
// first was lost.
const promptly = 10 * time.Second

// preemptors finds out who preempted which of the pods.
func (w *Witness) preemptors(pods []Life) map[types.UID]types.UID {
	all := map[types.UID]types.UID{}
	for _, l := range pods {
		h, told := w.preempted.of(l.UID)
		if !told || h.by == "" || l.Marked == 0 {
			continue
		}
		if by, known := w.clock.NotAfter(l.Marked); known && h.at.Before(by.Add(promptly)) {
			all[l.UID] = h.by
		}
	}
	return all
}

// Tally is how often what the witness judges has happened at all.
type Tally struct {
	Preemptors  int // pods for which others had to go
	Victims     int
	Unclaimed   int            // of them those of which nobody said for whom
	Spared      map[string]int // of them those that were not the first for one pod, and why that is excused
	Outrun      int            // pods that were rejected for what their binding could not know
	AddressLost int            // pods that were told that their address is lost
}

// Tally counts.
func (w *Witness) Tally() (t Tally) {
	e := w.evidence()
	t.Preemptors, t.Spared, t.AddressLost = len(e.victims()), e.spared(), w.addressLost.count()
	for _, l := range e.pods {
		if l.victim() {
			t.Victims++
			if _, known := e.preemptors[l.UID]; !known {
				t.Unclaimed++
			}
		}
		if l.Rejected != "" && l.Scheduler == e.cluster.scheduler && e.outrun(l) {
			t.Outrun++
		}
	}
	return t
}

// Stillness is how long after a time no pod was certainly bound through the
// extender; false where none has been since.
func (w *Witness) Stillness(after time.Time) (time.Duration, bool) {
	shortest, found := time.Duration(0), false
	for _, l := range w.Lives() {
		if l.Bound == 0 || l.Scheduler != w.cluster.scheduler || w.clock.NotBefore(l.Bound).Before(after) {
			continue
		}
		if at, known := w.clock.NotAfter(l.Bound); known && (!found || at.Sub(after) < shortest) {
			shortest, found = at.Sub(after), true
		}
	}
	return shortest, found
}
