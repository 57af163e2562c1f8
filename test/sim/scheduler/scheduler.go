package scheduler

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/test/sim/apiserver"
)

// Options are what a scheduler is made of.
type Options struct {
	// Name is the spec.schedulerName of the pods that it schedules. Required.
	Name string
	// Server is reached through Client, whose link says how far watches lag, how long
	// requests take and what is lost. Required, both.
	Server *apiserver.Server
	Client *apiserver.Client
	// Seed is that of all that is drawn.
	Seed uint64

	// Extender is asked about pods that ask for Managed; nil: there is none.
	Extender Extender
	Managed  corev1.ResourceName
	// Weight is that of the extender's scores. Default: 2, as in the manifests.
	Weight int64

	// Percentage is percentageOfNodesToScore; 0: half of the nodes, less of many.
	Percentage int
	// MinSample is from how many nodes on Percentage counts. Default: 100, as
	// kube-scheduler has it; less makes few nodes behave as many.
	MinSample int
	// Cycle is how long one scheduling cycle takes, beside what the extender and the
	// API server take. During it the snapshot ages.
	Cycle time.Duration

	// Protected says that a disruption budget, of which nothing is left, protects a
	// pod; nil: none does.
	Protected func(*corev1.Pod) bool
	// Failed is told of each attempt that has failed: a pod is rejected, or there was
	// an error. Preempted is told of each victim, before it is deleted, those that stop
	// already among them. Both may be nil; neither is called with a lock held.
	Failed    func(p *corev1.Pod, rejected bool, message string)
	Preempted func(p, victim *corev1.Pod, node string)
}

func (o Options) complete() Options {
	if o.Weight == 0 {
		o.Weight = 2
	}
	if o.MinSample == 0 {
		o.MinSample = minSample
	}
	if o.Protected == nil {
		o.Protected = func(*corev1.Pod) bool { return false }
	}
	if o.Failed == nil {
		o.Failed = func(*corev1.Pod, bool, string) {}
	}
	if o.Preempted == nil {
		o.Preempted = func(*corev1.Pod, *corev1.Pod, string) {}
	}
	return o
}

// Scheduler is one life of a kube-scheduler. All that it knows is lost with it.
type Scheduler struct {
	o         Options
	writer    writer
	memory    *memory
	finder    *finder
	preemptor *preemptor
	random    *rand.Rand     // of the goroutine that runs attempts
	work      sync.WaitGroup // of binds and evictions
}

// New makes a scheduler that knows nothing yet. It must be made inside the bubble in which
// it runs.
func New(o Options) *Scheduler {
	return newScheduler(o, remoteWriter{o.Client, o.Server.Pods().Via(o.Client)})
}

// Plain makes a scheduler without the extender: it binds pods that ask for addresses past
// it, wherever Nodes show that there is room.
func Plain(o Options) *Scheduler {
	o.Extender = nil
	return New(o)
}

func newScheduler(o Options, w writer) *Scheduler {
	o = o.complete()
	s := &Scheduler{o: o, writer: w, memory: newMemory(), random: rand.New(rand.NewPCG(o.Seed, 0))}
	s.finder = &finder{
		memory: s.memory, extension: extension{o.Extender, o.Managed, o.Weight},
		percentage: o.Percentage, minSample: o.MinSample,
	}
	s.preemptor = &preemptor{
		finder: s.finder, protected: o.Protected, random: s.random,
		executor: &executor{memory: s.memory, writer: w, preempted: o.Preempted, work: &s.work},
	}
	return s
}

// Run lives until ctx ends, and returns once all that it was about to do has ended. It
// schedules once its watches have shown it everything.
func (s *Scheduler) Run(ctx context.Context) {
	w := watches{s.memory, s.o.Name}
	nodes := s.o.Server.Nodes().Via(s.o.Client).Informer(ctx, nil, w.seeNode)
	pods := s.o.Server.Pods().Via(s.o.Client).Informer(ctx, lives, w.seePod)
	defer func() { <-nodes.Ended(); <-pods.Ended() }()
	for _, synced := range []<-chan struct{}{nodes.Synced(), pods.Synced()} {
		select {
		case <-ctx.Done():
			return
		case <-synced:
		}
	}
	s.run(ctx)
}

func lives(p *corev1.Pod) bool {
	return p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

// run tries one pod after the other (scheduler.go Run, ScheduleOne).
func (s *Scheduler) run(ctx context.Context) {
	context.AfterFunc(ctx, s.memory.end)
	for q := s.memory.pop(ctx); q != nil; q = s.memory.pop(ctx) {
		s.attempt(ctx, q)
	}
	s.work.Wait()
}
