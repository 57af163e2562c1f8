package sim

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/allocator/cloud"
	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/sim/ec2"
	"slotwise.dev/slotwise/test/sim/history"
	"slotwise.dev/slotwise/test/sim/judge"
	"slotwise.dev/slotwise/test/sim/process"
	"slotwise.dev/slotwise/test/sim/scheduler"
	"slotwise.dev/slotwise/test/witness"
)

// Environment is what one life of a replica has.
type Environment struct {
	Process  *process.Process
	API      *apiserver.Client
	Pods     apiserver.Remote[*corev1.Pod]
	EC2      cloud.API
	Pod      types.NamespacedName // its own
	Identity string               // in the lease
	Lease    time.Duration        // of the lease; a leader that cannot renew it acts for two thirds of it
	Retry    time.Duration        // between two attempts to take or renew it
	Observe  time.Duration        // between two looks at what another allocator does; 0: there is none
	Sample   int                  // of nodes, that schedulers look at; 0: as they come
	Log      logr.Logger
}

// Replica is one life of a replica of Slotwise.
type Replica interface {
	// Run lives until ctx ends, or until it has lost its lease, and returns once all that
	// it had to do has ended.
	Run(ctx context.Context)
	// Handler serves the extender.
	Handler() http.Handler
}

// Build wires a replica.
type Build func(Environment) (Replica, error)

const (
	systemNamespace = "slotwise-system"
	leaderLabel     = "slotwise.dev/leader"
	// restarts is how long a kubelet takes to start a replica again that has ended by
	// itself.
	restarts = time.Second
	// grace is how long a replica may take to end, as in manifests/base/deployment.yaml.
	grace = 45 * time.Second
	// patience is how long to wait for effects, after which something is to happen.
	patience = 30 * time.Second
)

// replica is one that is started again whenever it has ended.
type replica struct {
	s    *system
	name string

	mu   sync.Mutex // guards all below
	life *life      // nil: it is down
	// keptDown counts the reasons why it is not to be started.
	keptDown int
	lives    int
}

// life is one life of it.
type life struct {
	*process.Process
	identity string
	link     *apiserver.Link
	served   *scheduler.Replica
	ended    chan struct{} // closed once it has ended, or crashed
	planned  bool          // its end is no surprise
}

func newReplica(s *system, n int) *replica {
	r := &replica{s: s, name: fmt.Sprintf("slotwise-%d", n)}
	s.must(s.server.Pods().Create(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: r.name},
		Spec:       corev1.PodSpec{SchedulerName: "none", Containers: []corev1.Container{{Name: "slotwise"}}},
	}))
	return r
}

// start starts a life, if there is none and none has to wait.
func (r *replica) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.life != nil || r.keptDown > 0 || r.s.ctx.Err() != nil {
		return
	}
	r.lives++
	p := process.New(r.s.ctx, r.name)
	l := &life{Process: p, identity: fmt.Sprintf("%s_%d", r.name, r.lives), ended: make(chan struct{})}
	l.link = r.s.newLink(r.name, p.Gate, asUsual)
	api := r.s.server.Client(l.link)
	built, err := r.s.o.Build(Environment{
		Process: p, API: api, Pods: r.s.server.Pods().Via(api), EC2: ec2.NewClient(r.s.cloud, p.Gate),
		Pod: types.NamespacedName{Namespace: systemNamespace, Name: r.name}, Identity: l.identity,
		Lease: r.s.h.Cluster.Lease.D(), Retry: r.s.h.Cluster.Lease.D() * 2 / 15, Observe: r.s.observe(), Sample: r.s.h.Cluster.Sample,
		Log: r.s.o.Log.WithName(l.identity),
	})
	if err != nil {
		panic(err)
	}
	l.served = &scheduler.Replica{Handler: built.Handler(), Gate: p.Gate, Done: l.ended}
	r.life = l
	r.setReady(true)
	p.Go(built.Run)
	r.s.lasting.Go(func() { r.follow(l) })
}

// follow waits for the end of a life, and starts the next one. A crash is the end at once,
// whatever its goroutines still do: nobody sees it. They have to end all the same.
func (r *replica) follow(l *life) {
	over := make(chan struct{})
	go func() {
		l.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-l.Crashed():
		r.s.lasting.Go(func() {
			if !r.s.wait(context.Background(), grace, over) {
				r.s.judge.Found(judge.Endless, "%s has crashed, and parts of it still run %s later", l.identity, grace)
			}
		})
	}
	close(l.ended)
	r.setReady(false)
	r.s.forgetLink(l.link)
	r.mu.Lock()
	surprise := !l.planned
	r.life = nil
	r.mu.Unlock()
	if surprise && r.s.ctx.Err() == nil {
		r.s.count("replicas ended by themselves")
		r.s.note(witness.Note{Text: l.identity + " ended by itself", Harm: true})
		r.s.sleep(r.s.ctx, restarts)
	}
	r.start()
}

// setReady is what its kubelet tells of its pod, so that the Service leads nobody to a
// container that does not run.
func (r *replica) setReady(ready bool) {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	r.s.must(r.s.server.Pods().Change(types.NamespacedName{Namespace: systemNamespace, Name: r.name}, "", func(p *corev1.Pod) error {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
		return nil
	}))
}

// current is the life that it has; nil: it is down.
func (r *replica) current() *life {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.life
}

// keepDown keeps it from being started until the function that it returns is called.
func (r *replica) keepDown() (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keptDown++
	if r.life != nil {
		r.life.planned = true
	}
	return func() {
		r.mu.Lock()
		r.keptDown--
		r.mu.Unlock()
		r.start()
	}
}

// crash ends it after some effects, and starts it again a while later.
func (r *replica) crash(ctx context.Context, after int, down time.Duration) {
	l := r.current()
	if l == nil {
		return
	}
	release := r.keepDown()
	defer release()
	if after > 0 {
		l.CrashAt(after)
		r.s.wait(ctx, patience, l.Crashed())
	}
	r.s.note(witness.Note{Text: l.identity + " crashes", Harm: true})
	l.Crash()
	r.s.sleep(ctx, down)
}

// freeze stops it after some effects for a while.
func (r *replica) freeze(ctx context.Context, after int, d time.Duration) {
	l := r.current()
	if l == nil {
		return
	}
	if after > 0 {
		l.FreezeAt(after, d)
		for end := time.Now().Add(patience); !l.Frozen() && ctx.Err() == nil && time.Now().Before(end); {
			r.s.sleep(ctx, 50*time.Millisecond)
		}
	}
	l.Freeze() // if it is not yet: nobody would know of one that comes later
	r.s.note(witness.Note{Text: l.identity + " freezes", Harm: true})
	r.s.sleep(ctx, d)
	l.Thaw()
	lease := r.s.h.Cluster.Lease.D()
	r.s.note(witness.Note{Text: fmt.Sprintf("%s thaws after %s", l.identity, d), Thaw: d >= lease/2})
}

// stop ends it in order, and starts it again a while later.
func (r *replica) stop(ctx context.Context, down time.Duration) {
	l := r.current()
	if l == nil {
		return
	}
	release := r.keepDown()
	defer release()
	r.s.note(witness.Note{Text: l.identity + " is asked to end", Harm: true})
	l.Stop()
	if !r.s.wait(context.WithoutCancel(ctx), grace, l.ended) {
		r.s.judge.Found(judge.Endless, "%s was asked to end, and has not %s later", l.identity, grace)
		l.Crash()
	}
	r.s.sleep(ctx, down)
}

// partition cuts it off from the API server for a while.
func (r *replica) partition(ctx context.Context, d time.Duration) {
	l := r.current()
	if l == nil {
		return
	}
	r.s.note(witness.Note{Text: l.identity + " is cut off from the API server", Harm: true, Hinders: d})
	l.link.Partition()
	r.s.sleep(ctx, d)
	l.link.Heal()
	r.s.note(witness.Note{Text: l.identity + " reaches the API server again", Harm: true, Thaw: true})
}

// leader finds the replica that holds the lease, or one that does not.
func (s *system) replica(which string, draw uint64) *replica {
	holder := ""
	if l, ok := s.server.Leases().Get(apiserver.Lease); ok && l.Spec.HolderIdentity != nil {
		holder, _, _ = strings.Cut(*l.Spec.HolderIdentity, "_")
	}
	var others []*replica
	for _, r := range s.replicas {
		if r.name == holder && which == history.Leader {
			return r
		}
		if r.name != holder {
			others = append(others, r)
		}
	}
	return others[draw%uint64(len(others))]
}
