// Package allocator keeps the address slots of every Windows node: it makes
// the EC2 calls that the ledgers plan, binds pods with their address, gives
// addresses to pods that others have bound, and tells the cluster what is left.
//
// The arithmetic is in the rooms below (ledger, warmpool, subnet, settings)
// and EC2 behind cloud; this package holds the locks, the goroutines and the
// clock. One process at a time may run it: the leader.
package allocator

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/warmpool"
)

// Options are what an Allocator works with.
type Options struct {
	Cloud   *cloud.Client
	Kube    kubernetes.Interface // binds, annotates and advertises; give it generous rate limits
	Client  client.Client        // keeps NodeSlots, which it must not read from a cache
	Events  events.EventRecorder
	Metrics *Metrics
	Log     logr.Logger
	// Held says that this process still leads; nothing is bound, and nothing
	// asked of EC2 that changes something, while it does not. See Lease.
	Held func() bool
	// Observe, where positive, stands beside another allocator, and says how often
	// to look at what that one has changed. See observe.go.
	Observe time.Duration
}

const (
	// callsTimeout bounds how long a leader that ends waits for its EC2 calls in
	// flight. What becomes of them after that, the next leader finds out.
	callsTimeout = 3 * time.Second
	// closeTimeout bounds what it writes down for the next leader.
	closeTimeout = 5 * time.Second
)

// Allocator keeps the slots of all Windows nodes. See New and Run.
type Allocator struct {
	cloud   *cloud.Client
	kube    kubernetes.Interface
	events  reporter
	metrics *Metrics
	log     logr.Logger
	held    func() bool
	observe time.Duration // between looks at another allocator's work; zero: there is none

	configMap types.NamespacedName // that users configure; set by SetupWithManager
	reading   sync.Mutex           // held from the look at the ConfigMap until lastGood is what it says
	lastGood  settings.Settings    // read last, which counts where a value cannot be read

	state      atomic.Pointer[State]
	configured atomic.Bool               // the settings have been read for the first time
	modeSince  atomic.Pointer[time.Time] // see switched
	started    atomic.Bool               // the pods have been read for the first time
	podsRead   chan struct{}             // closed then
	ending     atomic.Bool               // see End
	binds      sync.WaitGroup
	placing    sync.Map // types.UID -> *node: where a pod is being bound
	pace       pace

	pods        *podWatch
	annotations *annotator
	advertiser  *advertiser
	subnets     *subnets
	recorder    *recorder
	evictions   *evictor

	nominations *nominations

	mu        sync.RWMutex
	nodes     map[string]*handle         // by the name of a Node; those of one instance share a handle
	instances map[string]*handle         // the same by EC2 instance
	workers   map[string]<-chan struct{} // by instance: closed once its latest worker has ended
	run       context.Context            // of the workers; nil before Run
	group     sync.WaitGroup
}

// State is what users have set, and whether something stands in the way.
type State struct {
	settings.Settings
	// Obstacle, where there is one, has the system act as if it were off.
	Obstacle *Obstacle
}

// New makes an Allocator that knows no node yet and is off.
func New(o Options) *Allocator {
	a := &Allocator{
		cloud: o.Cloud, kube: o.Kube, events: reporter{o.Events}, metrics: o.Metrics, log: o.Log, held: o.Held,
		observe:  o.Observe,
		podsRead: make(chan struct{}),
		nodes:    map[string]*handle{}, instances: map[string]*handle{}, workers: map[string]<-chan struct{}{},
	}
	a.state.Store(&State{})
	a.pods = newPodWatch(a)
	a.annotations = newAnnotator(a)
	a.advertiser = newAdvertiser(a)
	a.subnets = newSubnets(a)
	a.recorder = newRecorder(a, o.Client)
	a.evictions = newEvictor(a)
	a.nominations = newNominations()
	a.metrics.attach(a)
	return a
}

// Run keeps the slots until ctx ends. It begins with nothing: what pods hold
// is read from the API server, what the ENIs have from EC2. Before it returns,
// binds in flight have got their answer, and EC2 calls have unless EC2 is slow.
func (a *Allocator) Run(ctx context.Context) error {
	a.switched()
	a.mu.Lock()
	a.run = ctx
	for _, h := range a.instances {
		a.start(h)
	}
	a.mu.Unlock()
	a.background(ctx, a.pods.run)
	a.background(ctx, a.annotations.run)
	a.background(ctx, a.advertiser.run)
	a.background(ctx, a.subnets.run)
	a.background(ctx, a.recorder.run)
	a.background(ctx, a.evictions.run)
	a.background(ctx, func(ctx context.Context) { every(ctx, verifyEvery, a.verifyBindings) })
	a.background(ctx, func(ctx context.Context) { every(ctx, tickEvery, a.tick) })
	a.background(ctx, func(ctx context.Context) { every(ctx, confirmEvery, a.confirm) })
	<-ctx.Done()
	a.End()
	a.awaitCalls()
	a.binds.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	a.recorder.close(ctx)
	return nil
}

// End makes known that this process is about to end: nothing is given any more, and
// binds that wait for EC2 are turned away, so that they do not hold up the next
// leader.
func (a *Allocator) End() {
	a.ending.Store(true)
	for _, n := range a.everyNode() {
		n.mu.Lock()
		n.turnAway(errNotLeading)
		n.mu.Unlock()
	}
}

// awaitCalls waits for what runs in the background, EC2 calls above all.
func (a *Allocator) awaitCalls() {
	done := make(chan struct{})
	go func() {
		a.group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(callsTimeout):
		a.log.Info("EC2 has not answered all calls; the next leader finds out what became of them")
	}
}

func (a *Allocator) background(ctx context.Context, f func(context.Context)) {
	a.group.Go(func() { f(ctx) })
}

func every(ctx context.Context, interval time.Duration, f func(context.Context)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f(ctx)
		}
	}
}

// Apply takes up new settings. It takes effect at once, on all nodes. One call at
// a time.
func (a *Allocator) Apply(s State) {
	first := !a.configured.Swap(true)
	goesOn := s.On() && !a.running()
	if goesOn && !first {
		a.beginAnew() // first: nothing may be given by the old books
	}
	before := a.state.Swap(&s)
	if before.Enabled && !s.Enabled {
		a.events.off(a.configMap, len(a.everyNode()))
	}
	if goesOn {
		a.advertiser.renew()
	}
	if s.Mode != before.Mode {
		a.switched()
	}
	for _, n := range a.everyNode() {
		n.applyMode()
	}
}

// beginAnew has all nodes be read again: while Slotwise was off, others may have
// changed their interfaces, and given and taken addresses.
func (a *Allocator) beginAnew() {
	for _, n := range a.everyNode() {
		a.forget(n, "Slotwise was off until now")
	}
}

// running says that the system is on.
func (a *Allocator) running() bool { return a.state.Load().On() }

// On says that users have the system on, and nothing stands in the way.
func (s *State) On() bool { return s.Enabled && s.Obstacle == nil }

// active says that addresses may be given and EC2 be asked for changes: the
// system is on, this process leads and knows what all pods hold, and nobody else
// does it.
func (a *Allocator) active() bool {
	return a.running() && a.synced() && a.leading() && !a.observing()
}

func (a *Allocator) targets() warmpool.Targets { return a.state.Load().Targets }

// synced says that the pods of all nodes have been read.
func (a *Allocator) synced() bool { return a.started.Load() }

// Serving says that binds are served: this process leads, and the pods have
// been read.
func (a *Allocator) Serving() bool { return a.synced() && a.leading() }

// leading says that this process may change things: its lease has not run out,
// and it is not about to end.
func (a *Allocator) leading() bool { return a.held() && !a.ending.Load() }
