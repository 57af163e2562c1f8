package advertise

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/work"
)

// Figures are what a Node is to show.
type Figures struct {
	Total     int  // of the resource
	Remaining int  // the true remaining capacity in pods
	Shown     int  // the total that the Node shows now, 0 where that is not known
	Offers    bool // the Node offers what its instance has, and not another Node of it
}

// Source knows what Nodes are to show, and what they show. No lock of this package is
// held meanwhile.
type Source interface {
	// Figures are those of a Node. It answers false where nothing of Slotwise's is to be
	// written on it: it is not known or not ready, or Slotwise is off.
	Figures(node string) (f Figures, ok bool)
	// Shows takes in the total that a Node shows from now on, or may: one that shrinks is
	// told before it is written, as a kubelet may see it before the answer. Of a Node that
	// is not known or does not offer, it takes in nothing.
	Shows(node string, total int)
}

// Options are what an Advertiser works with. All are required; the zero Log logs nothing.
type Options struct {
	Nodes    kube.Nodes
	Source   Source
	Resource corev1.ResourceName // that is advertised
	Pace     *work.Pace
	Log      logr.Logger
}

// Advertiser writes what nodes have to offer on their Node objects. It is safe for
// concurrent use.
type Advertiser struct {
	options Options
	queue   *work.Queue[string]

	mu      sync.Mutex
	nodes   map[string]*entry
	renewed time.Time // adverts from before are void
}

// entry is what is known of one Node; the lock of the Advertiser guards it.
type entry struct {
	written advert
	known   bool // written is what the Node shows, as far as is known
	grew    bool // more has come to remain since, though less may have before
	nudged  bool // its total is to grow once more; see Nudge
}

// New makes an Advertiser. See Run.
func New(o Options) *Advertiser {
	return &Advertiser{options: o, queue: work.NewQueue[string]("advertise", o.Pace), nodes: map[string]*entry{}}
}

// Run writes until ctx ends. What fails is tried again, ever more slowly.
func (a *Advertiser) Run(ctx context.Context) { a.queue.Run(ctx, a.write) }

// Changed has a Node's capacity written, unless it stands there already. The first
// change is written at once, those that follow within a second together. Where more
// remains than before (grew), the scheduler is woken in any case: it may have turned pods
// away while less remained than what stands there.
func (a *Advertiser) Changed(node string, grew bool) {
	a.queue.AddAfter(node, time.Until(a.note(node, grew, false)))
}

// Nudge has a Node show one address less for a moment. Pods that the scheduler's own fit
// check has turned away are woken by nothing but growth of what they ask for
// (Kubernetes 1.37: plugins/noderesources/fit.go, isSchedulableAfterNodeChange).
func (a *Advertiser) Nudge(node string) {
	a.queue.AddAfter(node, time.Until(a.note(node, true, true)))
}

// Seen takes in what a Node object shows. Where that is not what was written, as when a
// kubelet registers again and resets it, or another client has changed it, it is written
// anew.
func (a *Advertiser) Seen(node *corev1.Node) {
	a.options.Source.Shows(node.Name, quantity(node.Status.Allocatable, a.options.Resource))
	if a.lost(node) {
		a.Changed(node.Name, false)
	}
}

// Renew has all Nodes written anew with their next change, also those whose figures are
// the same.
func (a *Advertiser) Renew() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.renewed = time.Now()
}

// write brings a Node up to date.
func (a *Advertiser) write(ctx context.Context, node string) error {
	last := a.take(node) // before the figures: growth that comes later is not theirs
	f, ok := a.options.Source.Figures(node)
	if !ok {
		a.forget(node)
		return nil
	}
	now := time.Now()
	next := advert{total: f.Total, remaining: f.Remaining, since: now, at: now}
	if last.nudged && f.Remaining > 0 {
		next.total--
		a.queue.AddAfter(node, writeEvery)
	}
	if last.known {
		var due time.Time
		if next, due = next.after(last.written, last.grew); due.IsZero() {
			return nil
		}
		if due.After(now) {
			a.queue.AddAfter(node, due.Sub(now))
			return nil
		}
	}
	return a.wrote(node, last, next, a.put(ctx, node, f, next))
}

// put writes an advert on a Node, and tells what the Node may show by then.
func (a *Advertiser) put(ctx context.Context, node string, f Figures, next advert) error {
	if f.Offers && next.total < f.Shown {
		a.options.Source.Shows(node, next.total) // the write may be seen before its answer
	}
	err := a.options.Nodes.Advertise(ctx, node, next.of(a.options.Resource))
	if err == nil && f.Offers {
		a.options.Source.Shows(node, next.total)
	}
	return err
}

// wrote notes what became of a write. One that failed leaves to the next what it was for.
func (a *Advertiser) wrote(node string, last entry, next advert, err error) error {
	if apierrors.IsNotFound(err) {
		a.forget(node)
		return nil
	}
	a.mu.Lock()
	e := a.entryLocked(node)
	if err == nil {
		e.written, e.known = next, true
	} else {
		e.grew, e.nudged = e.grew || last.grew, e.nudged || last.nudged
	}
	a.mu.Unlock()
	if err != nil {
		a.options.Log.Info("cannot advertise a node's capacity", "node", node, "error", err.Error())
	}
	return err
}

// note notes a change of a Node, and says when it may be written at the earliest.
func (a *Advertiser) note(node string, grew, nudged bool) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.entryLocked(node)
	e.grew, e.nudged = e.grew || grew, e.nudged || nudged
	return e.written.at.Add(writeEvery)
}

// take is what is known of a Node before a write, that is to see to what was noted until
// now. What was written is not known any more once it is void.
func (a *Advertiser) take(node string) entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.entryLocked(node)
	taken := *e
	taken.known = e.known && e.written.since.After(a.renewed)
	e.grew, e.nudged = false, false
	return taken
}

// lost says that a Node does not show what was written, and forgets that it was.
func (a *Advertiser) lost(node *corev1.Node) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.nodes[node.Name]
	if e == nil || !e.known || e.written.stands(node, a.options.Resource) {
		return false
	}
	e.written, e.known = advert{}, false
	return true
}

func (a *Advertiser) forget(node string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.nodes, node)
}

// entryLocked finds or makes the entry of a Node. Caller holds a.mu.
func (a *Advertiser) entryLocked(node string) *entry {
	e := a.nodes[node]
	if e == nil {
		e = &entry{}
		a.nodes[node] = e
	}
	return e
}
