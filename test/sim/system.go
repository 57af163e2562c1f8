// Package sim is the whole system in one process and in virtual time: replicas of
// Slotwise, kube-schedulers, kubelets, the API server and EC2, to all of which happens
// what a history says, and which a judge watches that shares no code with the product.
//
// It runs within testing/synctest, so an hour takes about a second, and everything that
// waits is due to the same clock. A seed makes a history (package history); which of two
// goroutines runs first is left to Go, so the same history mostly, not always, goes the
// same way.
package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/ec2sim"
	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/sim/history"
	"slotwise.dev/slotwise/test/sim/judge"
	"slotwise.dev/slotwise/test/sim/process"
	"slotwise.dev/slotwise/test/sim/scheduler"
	"slotwise.dev/slotwise/test/witness"
)

// The schedulers: ours asks the extender, plain does not.
const (
	ours   = "default-scheduler"
	plain  = "plain"
	byHand = "by-hand"
)

// namespace is that of the pods.
const namespace = "sim"

// zone is where everything is.
const zone = "us-west-2a"

// resourceName is what pods ask for.
const resourceName corev1.ResourceName = "vpc.amazonaws.com/PrivateIPv4Address"

// Options are what a run is made of.
type Options struct {
	Build Build
	// Groups are parts of the names of the groups of trouble that histories have; none: as
	// it comes.
	Groups []string
	// Tell, where set, is told of everything that happens.
	Tell func(at time.Duration, text string)
	// Log is of the product; the zero one keeps it to itself.
	Log logr.Logger
}

// system is everything there is.
type system struct {
	o      Options
	h      history.History
	began  time.Time
	ctx    context.Context // of everything; ends with the run
	random *rand.Rand      // of the goroutine that makes the steps

	server   *apiserver.Server
	cloud    *ec2sim.Server
	judge    *judge.Judge
	replicas []*replica
	machines map[string]*machine // by the name of a Node; of the goroutine that makes the steps
	started  int                 // instances
	agenda   agenda
	trouble  context.Context // ends when all that lasts is undone
	settings history.Settings
	rival    bool // another allocator stands

	lasting sync.WaitGroup // goroutines of the system
	effects sync.WaitGroup // what lasts of steps

	mu         sync.Mutex // guards all below
	counts     map[string]int
	weather    weather
	schedulers map[string]*process.Process
}

// newSystem starts everything.
func newSystem(ctx context.Context, h history.History, o Options) *system {
	s := &system{
		o: o, h: h, began: time.Now(), ctx: ctx, random: rand.New(rand.NewPCG(h.Seed, 1)),
		server:   apiserver.New(),
		machines: map[string]*machine{}, counts: map[string]int{}, schedulers: map[string]*process.Process{},
		weather: weather{now: map[int]change{}},
	}
	read := ec2sim.Latency{Mean: h.Cluster.Latency.D() / 4, Jitter: h.Cluster.Latency.D() / 16}
	write := ec2sim.Latency{Mean: h.Cluster.Latency.D(), Jitter: h.Cluster.Latency.D() / 4}
	s.cloud = ec2sim.New(ec2sim.Options{Seed: h.Seed, PageSize: 20, Latency: map[string]ec2sim.Latency{
		ec2sim.AnyAction: read, "AssignPrivateIpAddresses": write, "UnassignPrivateIpAddresses": write,
	}})
	s.judge = judge.New(s.server, s.cloud, namespace, ours)
	for _, x := range h.Cluster.Subnets {
		if err := s.cloud.AddSubnet(x.ID, zone, x.CIDR); err != nil {
			panic(err)
		}
	}
	s.configure(h.Cluster.Settings)
	for _, n := range h.Cluster.Nodes {
		s.join(n)
	}
	for i := range h.Cluster.Replicas {
		s.replicas = append(s.replicas, newReplica(s, i))
	}
	for _, r := range s.replicas {
		r.start()
	}
	s.startScheduler(ours)
	s.startScheduler(plain)
	return s
}

// startScheduler starts a life of a scheduler.
func (s *system) startScheduler(name string) {
	p := process.New(s.ctx, name)
	link := s.newLink(name, p.Gate, asUsual)
	client := s.server.Client(link)
	o := scheduler.Options{
		Name: name, Server: s.server, Client: client, Seed: s.random.Uint64(), Managed: resourceName,
		Cycle: time.Millisecond, MinSample: s.h.Cluster.Sample, Protected: protected, Preempted: s.judge.Preempted,
	}
	if name == plain {
		p.Go(scheduler.Plain(o).Run)
	} else {
		service := scheduler.NewService(p.Context(), scheduler.ServiceOptions{
			Server: s.server, Client: client, Selects: leads, Find: s.find, Seed: s.random.Uint64(),
		})
		o.Extender = scheduler.NewHTTPExtender(scheduler.HTTPOptions{
			Dialer: service, Latency: apiserver.Spread{Min: time.Millisecond, Max: 3 * time.Millisecond}, Seed: s.random.Uint64(),
		})
		p.Go(scheduler.New(o).Run)
	}
	s.mu.Lock()
	s.schedulers[name] = p
	s.mu.Unlock()
	s.lasting.Go(func() {
		p.Wait()
		s.forgetLink(link)
	})
}

// leads says that a pod is that of the replica that leads.
func leads(p *corev1.Pod) bool {
	return p.Namespace == systemNamespace && p.Labels[leaderLabel] == "true"
}

// find finds the process in the pod of a replica.
func (s *system) find(pod types.NamespacedName) *scheduler.Replica {
	for _, r := range s.replicas {
		if r.name != pod.Name {
			continue
		}
		if l := r.current(); l != nil {
			return l.served
		}
	}
	return nil
}

// restartSchedulers starts the schedulers anew.
func (s *system) restartSchedulers() {
	s.mu.Lock()
	running := s.schedulers
	s.schedulers = map[string]*process.Process{}
	s.mu.Unlock()
	for _, p := range running {
		p.Crash()
	}
	s.startScheduler(ours)
	s.startScheduler(plain)
}

// observe is how often Slotwise looks at what another allocator does.
func (s *system) observe() time.Duration {
	if s.h.Cluster.Observe {
		return 15 * time.Second
	}
	return 0
}

// close ends everything, and returns once all has ended.
func (s *system) close(cancel func()) {
	for _, r := range s.replicas {
		r.keepDown()
		if l := r.current(); l != nil {
			l.Thaw()
			l.link.Heal()
		}
	}
	cancel()
	s.effects.Wait()
	s.lasting.Wait()
	s.server.Close()
	s.cloud.Close()
}

// count counts something that happened.
func (s *system) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

// tell tells of something that happens.
func (s *system) tell(format string, args ...any) {
	if s.o.Tell != nil {
		s.o.Tell(time.Since(s.began), fmt.Sprintf(format, args...))
	}
}

// note tells the judge of something that was done.
func (s *system) note(n witness.Note) {
	s.tell("%s", n.Text)
	s.judge.Note(n)
}

// must is for what cannot fail.
func (s *system) must(_ any, err error) {
	if err != nil {
		panic(err)
	}
}

// sleep waits, at the longest until ctx ends.
func (s *system) sleep(ctx context.Context, d time.Duration) { s.wait(ctx, d, nil) }

// wait waits for something, at the longest until ctx ends, and says whether it came.
func (s *system) wait(ctx context.Context, d time.Duration, what <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-what:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
