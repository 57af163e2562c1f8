// Package allocator is the fleet: it keeps the address slots of every Windows node,
// binds pods with their address, gives addresses to pods that others have bound, and
// tells the cluster what is left.
//
// It composes the packages below it and holds no arithmetic of its own; README.md in
// this folder draws the parts, the locks, the goroutines, and the way of a bind. One
// process at a time may run it: the leader.
package allocator

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"slotwise.dev/slotwise/allocator/advertise"
	"slotwise.dev/slotwise/allocator/annotate"
	"slotwise.dev/slotwise/allocator/binding"
	"slotwise.dev/slotwise/allocator/budget"
	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/allocator/config"
	"slotwise.dev/slotwise/allocator/events"
	"slotwise.dev/slotwise/allocator/evict"
	"slotwise.dev/slotwise/allocator/kube"
	"slotwise.dev/slotwise/allocator/metrics"
	"slotwise.dev/slotwise/allocator/node"
	"slotwise.dev/slotwise/allocator/nodeslots"
	"slotwise.dev/slotwise/allocator/pods"
	"slotwise.dev/slotwise/allocator/policy"
	"slotwise.dev/slotwise/allocator/preemption"
	"slotwise.dev/slotwise/allocator/settings"
	"slotwise.dev/slotwise/allocator/work"
)

// Options are what an Allocator works with.
type Options struct {
	Cloud     *cloud.Client
	Pods      kube.Pods
	Bound     cache.ListerWatcher // of the bound pods of the cluster
	Nodes     kube.Nodes
	NodeSlots kube.NodeSlots
	Events    events.Reporter
	Metrics   *metrics.Metrics
	Log       logr.Logger
	Lease     Lease
	Policy    policy.Policy
	// ConfigMap is the one that users configure.
	ConfigMap types.NamespacedName
}

// Lease is by which this process leads: nothing is bound, and nothing asked of EC2 that
// changes something, while it does not hold it. See leader.Lease.
type Lease interface {
	kube.Lease
	// Late says that it was due to be renewed and is not: what nobody waits for is written
	// only after that.
	Late() bool
}

const (
	// callsTimeout bounds how long a leader that ends waits for its EC2 calls in
	// flight. What becomes of them after that, the next leader finds out.
	callsTimeout = 3 * time.Second
	// closeTimeout bounds what it writes down for the next leader.
	closeTimeout = 5 * time.Second

	// tickEvery is how exactly what time alone changes is noticed.
	tickEvery = time.Second

	// confirmEvery is how often EC2 is asked for the interfaces on which addresses cool.
	// A describe may show the past, by ledger.Settle, so the first that counts is asked
	// for 10 to 20 s after the end of a pod, which leaves 10 s of the cooldown for the
	// answer. Nothing waits for it. 200 interfaces share a call: at 5,000 nodes on all of
	// which pods end all the time that is 150 calls a minute, a quarter of Slotwise's
	// share; where no pods end, none.
	confirmEvery = 10 * time.Second
)

// Allocator keeps the slots of all Windows nodes. See New and Run.
type Allocator struct {
	gate      *gate
	nodes     *registry
	policy    policy.Policy
	events    events.Reporter
	log       logr.Logger
	configMap types.NamespacedName

	index       *pods.Index
	watch       *pods.Watch
	binder      *binding.Binder
	nominations *preemption.Nominations
	subnets     *budget.Subnets
	advertiser  *advertise.Advertiser
	recorder    *nodeslots.Recorder
	annotator   *annotate.Annotator
	evictor     *evict.Evictor

	configured atomic.Bool // the settings have been read for the first time
	binds      sync.WaitGroup
	group      sync.WaitGroup
}

// gate is what this process may do; see node.Gate.
type gate struct {
	held     func() bool
	state    atomic.Pointer[config.State]
	ending   atomic.Bool // see End
	podsRead chan struct{}
}

// Leads says that this process may change things: its lease has not run out, and it is
// not about to end.
func (g *gate) Leads() bool { return !g.ending.Load() && g.held() }

// On says that users have Slotwise on, and no other allocator is at work.
func (g *gate) On() bool { return g.state.Load().On() }

// PodsRead is closed once the pods of all nodes have been read.
func (g *gate) PodsRead() <-chan struct{} { return g.podsRead }

func (g *gate) settings() settings.Settings { return g.state.Load().Settings }

// New makes an Allocator that knows no node yet and is off.
func New(o Options) *Allocator {
	g := &gate{held: o.Lease.Held, podsRead: make(chan struct{})}
	g.state.Store(&config.State{})
	api, pace := kube.GatePods(o.Pods, o.Lease), work.NewPace(o.Lease.Late)
	a := &Allocator{
		gate: g, policy: o.Policy, events: o.Events, log: o.Log, configMap: o.ConfigMap,
		index: pods.NewIndex(), nominations: preemption.New(pending(api)),
	}
	l := &listener{fleet: a, metrics: o.Metrics}
	shared := &node.Shared{
		EC2: o.Cloud, Pods: a.index, Policy: o.Policy, Gate: g, Listener: l, Settings: g.settings,
		Arrivals: &node.Arrivals{}, Events: o.Events, Metrics: o.Metrics, Log: o.Log,
	}
	a.nodes = newRegistry(shared)
	a.subnets = budget.NewSubnets(budget.Options{Describer: o.Cloud, Listener: l, Next: o.Policy.NextLook, Log: o.Log})
	a.watch = pods.NewWatch(pods.Options{
		Index: a.index, Router: a.nodes, Listener: l, Bound: o.Bound, OnNode: o.Pods.OnNode, Resource: o.Policy.Resource(),
	})
	a.binder = binding.New(binding.Options{
		API: api, Index: a.index, Router: a.nodes, At: bindsOf, Waited: o.Metrics.Waited, Allocated: l.allocated,
	})
	a.advertiser = advertise.New(advertise.Options{
		Nodes: kube.GateNodes(o.Nodes, o.Lease), Source: &figures{g, a.nodes}, Resource: o.Policy.Resource(), Pace: pace, Log: o.Log,
	})
	a.recorder = nodeslots.New(nodeslots.Options{Store: o.NodeSlots, Find: a.nodes.slots, Pace: pace, Log: o.Log})
	a.annotator = annotate.New(annotate.Options{Pods: api, Find: a.nodes.owner, Events: o.Events, Log: o.Log})
	a.evictor = evict.New(evict.Options{Pods: api, Log: o.Log})
	shared.Subnets, shared.Watch, shared.NodeSlots, shared.Annotations = a.subnets, a.watch, a.recorder, a.annotator
	shared.Free = a.nodes.free
	o.Metrics.Attach(&totals{a})
	return a
}

// Run keeps the slots until ctx ends. It begins with nothing: what pods hold is read
// from the API server, what the interfaces have from EC2. Before it returns, binds in
// flight have got their answer, and EC2 calls have unless EC2 is slow.
func (a *Allocator) Run(ctx context.Context) error {
	a.policy.Switched(time.Now())
	a.nodes.start(ctx)
	c := &clock{a}
	for _, run := range []func(context.Context){
		a.watch.Run, a.annotator.Run, a.advertiser.Run, a.subnets.Run, a.recorder.Run, a.evictor.Run,
		every(binding.Every, c.verify), every(tickEvery, c.tick), every(confirmEvery, c.confirm),
	} {
		a.group.Go(func() { run(ctx) })
	}
	<-ctx.Done()
	a.End()
	a.awaitCalls()
	a.binds.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	a.recorder.Close(closing, a.nodes.allSlots())
	return nil
}

// End makes known that this process is about to end: nothing is given any more, and
// binds that wait for EC2 are turned away, so that they do not hold up the next leader.
func (a *Allocator) End() {
	a.gate.ending.Store(true)
	for _, n := range a.nodes.all() {
		n.Binds.TurnAway()
	}
}

// awaitCalls waits for what runs in the background, EC2 calls above all.
func (a *Allocator) awaitCalls() {
	done := make(chan struct{})
	go func() {
		a.group.Wait()
		a.nodes.wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(callsTimeout):
		a.log.Info("EC2 has not answered all calls; the next leader finds out what became of them")
	}
}

func every(interval time.Duration, f func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
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
}

// Apply takes in new settings. They take effect at once, on all nodes. One call at a
// time.
func (a *Allocator) Apply(s config.State) {
	before := a.gate.state.Load()
	first := !a.configured.Swap(true)
	goesOn := s.On() && !before.On()
	if goesOn && !first {
		// Others may have changed the interfaces, and given and taken addresses.
		for _, n := range a.nodes.all() {
			a.replace(n, "Slotwise was off until now")
		}
	}
	a.gate.state.Store(&s)
	all := a.nodes.all()
	if before.Enabled && !s.Enabled {
		turnedOff(a.configMap, len(all)).report(a.events)
	}
	if goesOn {
		a.advertiser.Renew()
	}
	if s.Mode != before.Mode {
		a.policy.Switched(time.Now())
		if !a.policy.Gives() { // pods that are turned away until it is certain what holds are woken after
			a.advertiser.Renew()
			a.subnets.Wake()
		}
	}
	for _, n := range all {
		n.Apply()
	}
}

// Serving says that binds are served: this process leads, and the pods have been read.
func (a *Allocator) Serving() bool {
	select {
	case <-a.gate.podsRead:
		return a.gate.Leads()
	default:
		return false
	}
}
