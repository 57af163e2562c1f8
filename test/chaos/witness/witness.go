// Package witness looks at a cluster and its EC2 from outside and says for
// certain where Slotwise has broken a promise. It shares no code with what it
// judges: who held which address it reads from its own watch of the API server,
// what the interfaces had from the simulated EC2's record of changes, and it
// does its own arithmetic.
//
// It counts only what is certain. A watch tells of things late, more so while the
// API server is away, so times are not those at which something was seen: they
// come from the revisions of the API server (package revision). What happened
// while the watch was cut and nobody could see it is not counted.
package witness

import (
	"context"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/revision"
)

// Witness watches. See Start.
type Witness struct {
	clock revision.Clock
	pods  *pods
	// What is told of pods: by whom they were preempted, and that their address is lost.
	preempted, addressLost *events

	ec2   *ec2sim.Server
	world world

	mu    sync.Mutex
	notes []Note
}

// Note is something that was done to the system under test.
type Note struct {
	At   time.Time
	Text string
	Harm bool // to the process that leads: another one may lead from now on
	Thaw bool // of a leader that had been frozen for longer than its lease
	// Node, where set, is one whose Node object or capacity somebody else has meddled with.
	Node string
	// Prefixes, where set, is the mode from now on.
	Prefixes *bool
}

// again is how soon a watch that was cut is tried again.
const again = 200 * time.Millisecond

// Start watches the pods of a namespace until ctx ends. scheduler is the name of
// the one that binds through the extender.
func Start(ctx context.Context, kube kubernetes.Interface, ec2 *ec2sim.Server, namespace, scheduler string) (*Witness, error) {
	w := &Witness{pods: newPods(), ec2: ec2, world: world{
		eni: map[string]string{}, subnet: map[string]string{}, kind: map[string]string{}, cidr: map[string]netip.Prefix{}, scheduler: scheduler,
	}}
	go w.clock.Run(ctx, kube)
	w.preempted = watchEvents(ctx, kube, namespace, reasonPreempted)
	w.addressLost = watchEvents(ctx, kube, namespace, reasonAddressLost)
	lw := cache.NewListWatchFromClient(kube.CoreV1().RESTClient(), "pods", namespace, fields.Everything())
	r := cache.NewReflectorWithOptions(lw, &corev1.Pod{}, w.pods, cache.ReflectorOptions{
		Name:    "witness",
		Backoff: &wait.Backoff{Duration: again, Factor: 1, Steps: 1},
	})
	go r.RunWithContext(ctx)
	return w, nil
}

// Node tells the witness which interface a node has. All nodes must be known
// before pods come.
func (w *Witness) Node(name string, eni ec2sim.Interface) {
	w.world.eni[name], w.world.subnet[eni.ID], w.world.kind[eni.ID] = eni.ID, eni.Subnet, eni.Type
}

// Subnet tells the witness of a subnet.
func (w *Witness) Subnet(id string, cidr netip.Prefix) { w.world.cidr[id] = cidr }

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
		clock: &w.clock, pods: w.pods.lives(), changes: w.ec2.Changes(), calls: w.ec2.Calls(),
		notes: w.Notes(), world: w.world, now: time.Now(),
	}
	e.preemptors = w.preemptors(e.pods)
	return e
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
		if l.Rejected != "" && l.Scheduler == e.world.scheduler && e.outrun(l) {
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
		if l.Bound == 0 || l.Scheduler != w.world.scheduler || w.clock.NotBefore(l.Bound).Before(after) {
			continue
		}
		if at, known := w.clock.NotAfter(l.Bound); known && (!found || at.Sub(after) < shortest) {
			shortest, found = at.Sub(after), true
		}
	}
	return shortest, found
}
